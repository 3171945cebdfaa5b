#!/usr/bin/env bash
# Ten minutes of training with separate heads in bfloat16, three seeds, one after the other: results/mt10/ten_minutes.
# The same command resumes.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" ten_minutes mt10_small 3,4,5 1 --network multihead --steps 1000000 --minutes 10 \
  --precision auto --compile true --evaluate-every 1000000 --checkpoint-every 10000
"${PYTHON:-python}" "$(dirname "$0")/../draw_finals.py" "$(dirname "$0")/../../results/mt10/ten_minutes"
