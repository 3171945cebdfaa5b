#!/usr/bin/env bash
# The runs of strong_50k.sh in bfloat16: results/mt10/bfloat16_50k. It needs a processor that multiplies bfloat16 in
# hardware. The same command again resumes; a seed takes about twenty minutes of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/bfloat16_50k}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers ls --seeds "${SEEDS:-0,1,2}" --steps 50000 \
  --precision auto --evaluate-every 5000 --training-episodes-per-task 10 --jobs "${JOBS:-1}" --threads 1 --out "$out"
scripts/kept_curves.sh results/mt10/bfloat16_50k "$out"/ls/seed_*
