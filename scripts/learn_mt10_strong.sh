#!/usr/bin/env bash
# 60,000 steps of MT10 on the strong base at width 256: a curve of results/mt10/search. The same command again resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
mtrl-conic train mt10_small --balancer "${1:-ls}" --seed "${2:-0}" --steps 60000 --random-steps 1000 \
  --replay-capacity 60000 --evaluate-every 5000 --checkpoint-every 5000 --training-episodes-per-task 10 \
  --threads "${THREADS:-1}" --run-dir "runs/mt10_strong_${1:-ls}_${2:-0}"
