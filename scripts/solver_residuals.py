"""Print how accurately the balancers keep their guarantees, over 20,000 draws: results/bench/residuals.txt."""

from __future__ import annotations

import torch

from mtrl_conic.bench import guarantees, residuals

if __name__ == "__main__":
    torch.set_num_threads(1)
    print("$ python scripts/solver_residuals.py")
    print("Random matrices: conditions 1 to 1e8, scales 1e-6 to 1e6, float64")
    print(residuals.table(residuals.study(residuals.STUDY), residuals.STUDY))
    print()
    print(f"Hard gradients: {', '.join(guarantees.KINDS)}; float32, bfloat16 and float64; scales 1e-30 to 1e30;")
    print(f"K = {', '.join(map(str, guarantees.STUDY))}; P = {', '.join(map(str, guarantees.PARAMETERS))}. Errors are")
    print("seen by the gradients themselves, in float64, where no fallback was taken; more than")
    print(f"{guarantees.ALLOWED:.0e} is broken.")
    print(guarantees.table(guarantees.study(guarantees.STUDY)))
