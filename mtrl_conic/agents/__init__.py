"""Multi-task soft actor-critic: networks, losses, optimisers."""
