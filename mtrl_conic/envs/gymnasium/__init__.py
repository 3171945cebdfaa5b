"""Task sets of Gymnasium's environments."""
