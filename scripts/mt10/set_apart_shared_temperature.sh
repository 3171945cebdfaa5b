#!/usr/bin/env bash
# Three methods with one temperature for all tasks: results/mt10/set_apart_shared_temperature. The same command resumes;
# it takes three quarters of an hour of two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
BALANCERS="${BALANCERS:-ls,cagrad,conicgrad}" scripts/mt10/balancers.sh set_apart_shared_temperature 15000 \
  --precision auto --temperatures shared
