#!/usr/bin/env bash
# The small preset with equal weights to 1,000,000 steps, seed 0: results/mt10/strong_1m. The same command again
# resumes; it takes six to seven hours of one core, and 2.5 GB of memory.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/strong_1m}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers ls --seeds "${SEEDS:-0}" --steps 1000000 \
  --replay-capacity 200000 --evaluate-every 25000 --checkpoint-every 10000 --training-episodes-per-task 10 \
  --jobs "${JOBS:-2}" --threads 1 --out "$out"
scripts/kept_curves.sh results/mt10/strong_1m "$out"/ls/seed_*
