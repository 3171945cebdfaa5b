#!/usr/bin/env bash
# Three methods on raw rewards with the critic of the strong base: results/mt10/set_apart_raw_rewards. The same command
# resumes; it takes three quarters of an hour of two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/mt10/set_apart.sh set_apart_raw_rewards mt10_small 15000 --reward-scale none --critic-loss squared \
  --initial-temperature 0.1
