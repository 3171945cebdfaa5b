#!/usr/bin/env bash
# Thirty minutes of the small preset on the classic base with ConicGrad: results/mt10/classic_30min. The same command
# resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/classic_30min}"
"${PYTHON:-python}" -m mtrl_conic train mt10_small --balancer conicgrad --seed 0 --base classic --batch-size 32 \
  --width 256 --random-steps 500 --initial-temperature 0.1 --minutes 30 --steps 1000000 --replay-capacity 100000 \
  --evaluate-every 5000 --training-episodes-per-task 10 --threads "${THREADS:-1}" --run-dir "$out"
scripts/kept_curves.sh results/mt10/classic_30min "$out"
