#!/usr/bin/env bash
# The small preset with equal weights to 1,000,000 steps, seed 0: results/mt10/strong_1m. The same command
# resumes; it takes six to seven hours of one core, and 2.5 GB of memory.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" strong_1m mt10_small 0 2 --steps 1000000 --replay-capacity 200000 \
  --evaluate-every 25000 --checkpoint-every 10000 --training-episodes-per-task 10
