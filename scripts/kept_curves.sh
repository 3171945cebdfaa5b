#!/usr/bin/env bash
# Write the files that a result keeps of its runs: every evaluation, the configuration of the first run, and a picture
# of the curves.
# Use: scripts/kept_curves.sh results/mt10/strong_50k runs/mt10/strong_50k/ls/seed_*
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" result="$1"
shift
mkdir -p "$result"
"$python" scripts/export_curves.py "$@" --out "$result/curves.csv"
cp "$1/config.yaml" "$result/config.yaml"
"$python" scripts/draw_curves.py "$result"
