#!/usr/bin/env bash
# Thirty minutes of MT10 on a laptop: the curve in results/mt10/. The same command again resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
mtrl-conic train mt10_small --balancer "${1:-conicgrad}" --seed "${2:-0}" --base classic \
  --batch-size 32 --width 256 --random-steps 500 --initial-temperature 0.1 --minutes 30 --steps 1000000 \
  --replay-capacity 100000 --evaluate-every 5000 --training-episodes-per-task 10 --threads "${THREADS:-1}" \
  --run-dir "runs/mt10_30min_${1:-conicgrad}_${2:-0}"
