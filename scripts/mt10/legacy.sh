#!/usr/bin/env bash
# The older published protocol at a size and budget that fit a small machine: results/mt10/legacy. The same command
# resumes; it takes about six hours of two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OUT="${OUT:-runs/mt10/legacy}" STEPS="${STEPS:-30000}" SEEDS="${SEEDS:-0,1}"
export OPTIONS="${OPTIONS:---width 256 --batch-size 32 --precision bfloat16 --compile true --threads 1 --evaluate-every 2500}"
scripts/mt10_legacy.sh
scripts/kept_comparison.sh "$OUT" results/mt10/legacy
