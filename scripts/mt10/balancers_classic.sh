#!/usr/bin/env bash
# Seven balancers on the classic base, 10,000 steps, three seeds: results/mt10/balancers_classic. The same command
# resumes; it takes about an hour of two cores.
set -euo pipefail
"$(dirname "$0")/balancers.sh" balancers_classic 10000 --base classic --batch-size 32 --initial-temperature 0.1
