#!/usr/bin/env bash
# Print the benchmarks of results/bench, one after the other; the files there also name the machine. The script takes an
# hour, during which nothing else should run. It needs JAX (pip install -e ".[jax]") for the comparison with it.
set -euo pipefail
cd "$(dirname "$0")/.."
bench() {
  echo "\$ mtrl-conic bench $*"
  "${PYTHON:-python}" -m mtrl_conic bench "$@"
}
bench env --seconds 5
bench train --rounds 7
bench train --rounds 9 --precision bfloat16
bench update --rounds 25 \
  --balancers mgda,pcgrad,gradvac,cagrad,imtl_g,nashmtl,fairgrad,aligned_mtl,sdmgrad,upgrad,gradops,conicgrad,gradnorm
bench update --base strong
bench update --base strong --width 256 --compile
bench update --compile --balancers pcgrad --peer jax
bench update --compile --balancers pcgrad --peer jax --precision bfloat16
bench solvers
bench scaling --rounds 3 --tasks 2,10,40
bench scaling --balancers aligned_mtl,cagrad,conicgrad,dualproj,fairgrad,gradops,gradvac,imtl_g,mgda,nashmtl,pcgrad,sdmgrad,upgrad --tasks 40 --ways representation,parameters,single --rounds 3
bench scaling --network celeba --tasks 40 --batch-size 32 --rounds 5 --ways representation
"${PYTHON:-python}" scripts/solver_residuals.py
