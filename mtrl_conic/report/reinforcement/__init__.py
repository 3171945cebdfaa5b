"""Reports on reinforcement learning runs: success and returns, gradient conflict, cost."""
