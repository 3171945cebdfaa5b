#!/usr/bin/env bash
# From one saved state of the small preset at 100,000 steps, 20,000 more with one setting changed at a time, two seeds:
# results/mt10/branches. Each branch is a copy of the saved run. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OUT="${OUT:-runs/mt10/branches}" PYTHON="${PYTHON:-python}"
settings="none learning_rate=2e-4 n_step=1 weight_decay=0.1 reset_every=99500 twins=min priority_exponent=0.6"
settings="${SETTINGS:-$settings}"
. scripts/mt10/branching.sh
trial() {  # SETTING SEED
  local setting="$1" seed="$2" name="${1%=*}" flags=()
  if [ "$setting" != none ]; then flags=("--${name//_/-}" "${setting#*=}"); fi
  branch "$OUT/saved/seed_$seed" "$seed" "$OUT/${setting/=/_}/seed_$seed" 120000 5000 "${flags[@]}"
}
export -f trial
seeds="${SEEDS:-0 1}" jobs="${JOBS:-2}"
# shellcheck disable=SC2086  # the seeds must be split into words
printf '%s\n' $seeds | xargs -P "$jobs" -I {} bash -c 'train {} "$OUT/saved/seed_{}" 100000 25000'
for setting in $settings; do
  for seed in $seeds; do echo "$setting" "$seed"; done
done | xargs -P "$jobs" -L 1 bash -c 'trial "$0" "$1"'
# shellcheck disable=SC2086  # the settings must be split into words
scripts/kept_settings.sh results/mt10/branches "$OUT" $settings
