#!/usr/bin/env bash
# Equal weights over seeds, and what the result keeps of them; the scripts of such results call it. The same command again
# resumes. Use: scripts/mt10/equal_weights.sh NAME PRESET SEEDS JOBS [flags of compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
name="$1" out="${OUT:-runs/mt10/$1}"
"${PYTHON:-python}" -m mtrl_conic compare "$2" --balancers ls --seeds "${SEEDS:-$3}" --jobs "${JOBS:-$4}" "${@:5}" \
  --threads 1 --out "$out"
scripts/kept_curves.sh "results/mt10/$name" "$out"/ls/seed_*
