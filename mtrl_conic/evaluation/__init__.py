"""Success of a policy, by task."""
