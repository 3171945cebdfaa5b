#!/usr/bin/env bash
# The small preset with equal weights to 200,000 steps, three seeds, two at a time: results/mt10/strong_200k. The same
# command again resumes; two seeds take an hour and a half of two cores, and 2.5 GB of memory each.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/strong_200k}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers ls --seeds "${SEEDS:-0,1,2}" --steps 200000 \
  --replay-capacity 200000 --evaluate-every 12500 --checkpoint-every 10000 --training-episodes-per-task 10 \
  --jobs "${JOBS:-2}" --threads 1 --out "$out"
scripts/kept_curves.sh results/mt10/strong_200k "$out"/ls/seed_*
