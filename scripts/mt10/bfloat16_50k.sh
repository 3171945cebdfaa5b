#!/usr/bin/env bash
# The runs of strong_50k.sh in bfloat16: results/mt10/bfloat16_50k. It needs a processor that multiplies bfloat16 in
# hardware. The same command resumes; a seed takes about twenty minutes of one core.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" bfloat16_50k mt10_small 0,1,2 1 --steps 50000 --precision auto \
  --evaluate-every 5000 --training-episodes-per-task 10
