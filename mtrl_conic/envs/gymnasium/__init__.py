"""Task sets of Gymnasium environments."""
