#!/usr/bin/env bash
# Equal weights over several seeds, and the files that the result keeps; called by the scripts of such results. The same
# command resumes. Use: scripts/mt10/equal_weights.sh NAME PRESET SEEDS JOBS [flags of compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
name="$1" out="${OUT:-runs/mt10/$1}"
"${PYTHON:-python}" -m mtrl_conic compare "$2" --balancers ls --seeds "${SEEDS:-$3}" --jobs "${JOBS:-$4}" --threads 1 \
  "${@:5}" --out "$out"
scripts/kept_curves.sh "results/mt10/$name" "$out"/ls/seed_*
