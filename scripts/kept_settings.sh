#!/usr/bin/env bash
# Write the files that a result keeps of settings, each tried over seeds: the evaluations and the configuration of the
# first seed of each, and a picture of the curves. The runs of NAME=VALUE are RUNS/NAME_VALUE/seed_*.
# Use: scripts/kept_settings.sh results/mt10/savings runs/mt10/savings critics=1 bins=51
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" result="$1" runs="$2"
shift 2
mkdir -p "$result"
for setting in "$@"; do
  name="${setting/=/_}"
  seeds=("$runs/$name"/seed_*)
  "$python" scripts/export_curves.py "${seeds[@]}" --out "$result/$name.csv"
  cp "${seeds[0]}/config.yaml" "$result/$name.yaml"
done
"$python" scripts/draw_curves.py "$result"
