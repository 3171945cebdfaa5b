#!/usr/bin/env bash
# The small preset with equal weights to 200,000 steps, three seeds, two at a time: results/mt10/strong_200k. The same
# command resumes; two seeds take an hour and a half of two cores, and 2.5 GB of memory each.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" strong_200k mt10_small 0,1,2 2 --steps 200000 --replay-capacity 200000 \
  --evaluate-every 12500 --checkpoint-every 10000 --training-episodes-per-task 10
