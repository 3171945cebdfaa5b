#!/usr/bin/env bash
# The small preset with the plain mean to 50,000 steps, three seeds, two at a time: results/mt10/strong_50k. The same
# command again resumes; a seed takes half an hour of one core.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="${OUT:-runs/mt10_50k}"
"$python" -m mtrl_conic compare mt10_small --balancers ls --seeds "${SEEDS:-0,1,2}" --steps 50000 --evaluate-every 5000 \
  --training-episodes-per-task 10 --jobs "${JOBS:-2}" --threads 1 --out "$out"
"$python" scripts/export_curves.py "$out"/ls/seed_* --out results/mt10/strong_50k.csv
