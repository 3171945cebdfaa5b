#!/usr/bin/env bash
# The small preset with equal weights to 50,000 steps, three seeds, two at a time: results/mt10/strong_50k. The same
# command resumes; a seed takes half an hour of one core.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" strong_50k mt10_small 0,1,2 2 --steps 50000 --evaluate-every 5000 \
  --training-episodes-per-task 10
