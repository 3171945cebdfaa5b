#!/usr/bin/env bash
# The default preset with equal weights in bfloat16 to 200,000 steps, seed 0: results/mt10/default_200k. The same
# command resumes; it takes about two hours of one core.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" default_200k mt10 0 1 --steps 200000 --precision auto --replay-capacity 200000 \
  --evaluate-every 12500 --checkpoint-every 5000 --training-episodes-per-task 10
