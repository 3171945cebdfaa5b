#!/usr/bin/env bash
# The default preset with equal weights in bfloat16 to 200,000 steps, seed 0: results/mt10/default_200k. The same command
# again resumes; it takes about two hours of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/default_200k}"
"${PYTHON:-python}" -m mtrl_conic compare mt10 --balancers ls --seeds "${SEEDS:-0}" --steps 200000 --precision auto \
  --replay-capacity 200000 --evaluate-every 12500 --checkpoint-every 5000 --training-episodes-per-task 10 \
  --jobs "${JOBS:-1}" --threads 1 --out "$out"
scripts/kept_curves.sh results/mt10/default_200k "$out"/ls/seed_*
