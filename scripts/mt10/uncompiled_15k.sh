#!/usr/bin/env bash
# The runs with equal weights of balancers_strong.sh without compilation: results/mt10/uncompiled_15k. The same command
# resumes; a seed takes about eight minutes of one core.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" uncompiled_15k mt10_small 0,1,2 2 --steps 15000 --evaluate-every 5000 \
  --checkpoint-every 2500 --training-episodes-per-task 10 --compile false
