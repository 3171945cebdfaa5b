#!/usr/bin/env bash
# Prioritised rows from scratch beside the preset as it is, 100,000 steps, and with a lower learning rate from 50,000
# steps on: results/mt10/prioritised. The same command resumes; a seed of a setting takes about 40 minutes of one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OUT="${OUT:-runs/mt10/prioritised}" PYTHON="${PYTHON:-python}"
train() {  # SETTING SEED STEPS [flags]
  "$PYTHON" -m mtrl_conic train mt10_small --balancer ls --steps "$3" --replay-capacity 200000 --precision auto \
    --compile true --threads 1 --evaluate-every 12500 --training-episodes-per-task 10 --checkpoint-every 10000 \
    --seed "$2" --run-dir "$OUT/$1/seed_$2" "${@:4}"
}
trial() {  # SETTING SEED
  local half="$OUT/$1/half_$2"
  case "$1" in
    none) train "$1" "$2" 100000 ;;
    prioritised) train "$1" "$2" 100000 --priority-exponent 0.6 ;;
    lower_rate)
      if [ ! -e "$half" ]; then
        train "$1" "$2" 50000 --priority-exponent 0.6
        touch "$half"
      fi
      train "$1" "$2" 100000 --priority-exponent 0.6 --learning-rate 2e-4 --allow-changes
      ;;
  esac
}
export -f train trial
for seed in ${SEEDS:-0 1 2}; do
  for setting in none prioritised lower_rate; do echo "$setting" "$seed"; done
done | xargs -P "${JOBS:-2}" -L 1 bash -c 'trial "$0" "$1"'
scripts/kept_settings.sh results/mt10/prioritised "$OUT" none prioritised lower_rate
