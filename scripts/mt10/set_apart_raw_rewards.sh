#!/usr/bin/env bash
# Three methods on raw rewards with the critic of the strong base: results/mt10/set_apart_raw_rewards. The same command
# resumes; it takes three quarters of an hour of two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
BALANCERS="${BALANCERS:-ls,cagrad,conicgrad}" scripts/mt10/balancers.sh set_apart_raw_rewards 15000 --precision auto \
  --reward-scale none --critic-loss squared --initial-temperature 0.1
