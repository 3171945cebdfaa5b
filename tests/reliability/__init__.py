"""Tests with killed processes, full disks and foreign files."""

import os

import torch

# A forked process lacks its parent's threads: a matrix product on several threads would wait for them for ever.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
