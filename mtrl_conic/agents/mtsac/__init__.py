"""Multi-task soft actor-critic: the agent, its losses, temperatures and configuration."""
