#!/usr/bin/env bash
# Settings that make an update cheaper, three seeds each: results/mt10/savings. One critic is trained for 50,000 steps and
# the other settings for 25,000. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OUT="${OUT:-runs/mt10/savings}" PYTHON="${PYTHON:-python}"
settings="${SETTINGS:-actor_every=2 critics=1 actor_twins=first bins=51}" kept=results/mt10/savings
train() {
  local setting="$1" seed="$2" name="${1%=*}" steps=25000
  if [ "$setting" = critics=1 ]; then steps=50000; fi
  "$PYTHON" -m mtrl_conic train mt10_small --balancer ls --steps "$steps" --precision auto --compile true --threads 1 \
    --evaluate-every 5000 --training-episodes-per-task 10 --checkpoint-every 5000 --seed "$seed" \
    "--${name//_/-}" "${setting#*=}" --run-dir "$OUT/${setting/=/_}/seed_$seed"
}
export -f train
for seed in ${SEEDS:-0 1 2}; do
  for setting in $settings; do echo "$setting" "$seed"; done
done | xargs -P "${JOBS:-2}" -L 1 bash -c 'train "$0" "$1"'
mkdir -p "$kept"
cp results/mt10/bfloat16_50k/curves.csv "$kept/none.csv"
cp results/mt10/bfloat16_50k/config.yaml "$kept/none.yaml"
# shellcheck disable=SC2086  # the settings must be split into words
scripts/kept_settings.sh "$kept" "$OUT" $settings
# shellcheck disable=SC2086
"$PYTHON" scripts/setting_costs.py $settings --rounds 25 --compile --precision bfloat16 > "$kept/costs.txt"
