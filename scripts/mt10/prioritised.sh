#!/usr/bin/env bash
# Prioritised rows from scratch beside the preset as it is, 100,000 steps, and with a lower learning rate from 50,000
# steps on: results/mt10/prioritised. The same command resumes; a seed of a setting takes about 40 minutes of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OUT="${OUT:-runs/mt10/prioritised}" PYTHON="${PYTHON:-python}"
. scripts/mt10/branching.sh
trial() {  # SETTING SEED
  local run="$OUT/$1/seed_$2" half="$OUT/half/seed_$2"
  case "$1" in
    none) train "$2" "$run" 100000 12500 ;;
    half) train "$2" "$run" 50000 12500 --priority-exponent 0.6 ;;
    prioritised) branch "$half" "$2" "$run" 100000 12500 --priority-exponent 0.6 ;;
    lower_rate) branch "$half" "$2" "$run" 100000 12500 --priority-exponent 0.6 --learning-rate 2e-4 ;;
  esac
}
trials() {  # SETTING ...
  for seed in ${SEEDS:-0 1 2}; do
    for setting in "$@"; do echo "$setting" "$seed"; done
  done | xargs -P "${JOBS:-2}" -L 1 bash -c 'trial "$0" "$1"'
}
export -f trial
trials none half
trials prioritised lower_rate
scripts/kept_settings.sh results/mt10/prioritised "$OUT" none prioritised lower_rate
