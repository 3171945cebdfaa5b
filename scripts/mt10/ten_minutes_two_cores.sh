#!/usr/bin/env bash
# Ten minutes on two idle cores, three seeds, one after the other, otherwise as ten_minutes.sh:
# results/mt10/ten_minutes_two_cores. The same command resumes.
set -euo pipefail
"$(dirname "$0")/equal_weights.sh" ten_minutes_two_cores mt10_small 3,4,5 1 --network multihead --steps 1000000 \
  --minutes 10 --precision auto --compile true --threads 2 --overlap true --evaluate-every 1000000 --checkpoint-every 10000
"${PYTHON:-python}" "$(dirname "$0")/../draw_finals.py" "$(dirname "$0")/../../results/mt10/ten_minutes_two_cores"
