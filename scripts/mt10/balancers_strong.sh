#!/usr/bin/env bash
# Seven balancers on the strong base, 15,000 steps, three seeds: results/mt10/balancers_strong. The same command
# resumes; it takes an hour and a half of two cores.
set -euo pipefail
"$(dirname "$0")/seven_balancers.sh" balancers_strong 15000 --base strong
