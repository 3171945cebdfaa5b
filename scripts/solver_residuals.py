"""Print the largest residual of every exact balancer over 10,000 random Gram matrices: results/bench/residuals.txt."""

from __future__ import annotations

import torch

from mtrl_conic.bench import residuals

if __name__ == "__main__":
    torch.set_num_threads(1)
    print("$ python scripts/solver_residuals.py")
    print("conditions 1 to 1e8, scales 1e-6 to 1e6, float64")
    print(residuals.table(residuals.study(residuals.STUDY), residuals.STUDY))
