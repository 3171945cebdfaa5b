#!/usr/bin/env bash
# Three methods on 25 tasks: results/mt10/set_apart_mt25. The same command resumes; it takes an hour and a half of two
# cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
BALANCERS="${BALANCERS:-ls,cagrad,conicgrad}" scripts/mt10/balancers.sh set_apart_mt25 10000 --task-set mt25 \
  --precision auto
