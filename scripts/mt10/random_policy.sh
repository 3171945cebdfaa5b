#!/usr/bin/env bash
# Uniformly random actions on all 50 goals of each task: results/mt10/random_policy.
set -euo pipefail
cd "$(dirname "$0")/../.."
"${PYTHON:-python}" -m mtrl_conic evaluate mt10 --policy random --json results/mt10/random_policy/random.json
