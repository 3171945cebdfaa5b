#!/usr/bin/env bash
# The small preset with equal weights to 50,000 steps, three seeds, two at a time: results/mt10/strong_50k. The same
# command again resumes; a seed takes half an hour of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/strong_50k}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers ls --seeds "${SEEDS:-0,1,2}" --steps 50000 \
  --evaluate-every 5000 --training-episodes-per-task 10 --jobs "${JOBS:-2}" --threads 1 --out "$out"
scripts/kept_curves.sh results/mt10/strong_50k "$out"/ls/seed_*
