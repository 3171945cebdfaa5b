#!/usr/bin/env bash
# Equal weights, CAGrad and ConicGrad in a setting in which the gradients of the tasks may differ more than in the presets.
# Use: scripts/mt10/set_apart.sh RESULT PRESET STEPS [flags of compare], with SEEDS=0,1,2 by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
result="$1" preset="$2" steps="$3"
out="${OUT:-runs/mt10/$result}"
"${PYTHON:-python}" -m mtrl_conic compare "$preset" --steps "$steps" --balancers ls,cagrad,conicgrad \
  --seeds "${SEEDS:-0,1,2}" --precision auto --compile true --evaluate-every 5000 --checkpoint-every 2500 \
  --training-episodes-per-task 10 --jobs "${JOBS:-2}" --threads 1 --out "$out" "${@:4}"
scripts/kept_comparison.sh "$out" "results/mt10/$result"
