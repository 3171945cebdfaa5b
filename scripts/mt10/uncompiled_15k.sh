#!/usr/bin/env bash
# The runs with equal weights of balancers_strong.sh without compilation: results/mt10/uncompiled_15k. The same command
# again resumes; a seed takes about eight minutes of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/uncompiled_15k}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers ls --seeds "${SEEDS:-0,1,2}" --steps 15000 \
  --evaluate-every 5000 --checkpoint-every 2500 --training-episodes-per-task 10 --compile false --jobs "${JOBS:-2}" \
  --threads 1 --out "$out"
scripts/kept_curves.sh results/mt10/uncompiled_15k "$out"/ls/seed_*
