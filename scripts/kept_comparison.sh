#!/usr/bin/env bash
# Write the files that the repository keeps of a comparison, by default of `make compare`: every evaluation as CSV, the
# tables of the report, the configurations of the methods, and a picture of the curves.
# Use: scripts/kept_comparison.sh [runs/comparison [results/comparison]]
set -euo pipefail
cd "$(dirname "$0")/.."
runs="${1:-runs/comparison}" out="${2:-results/comparison}"
[ ! -x .venv/bin/mtrl-conic ] || PATH="$PWD/.venv/bin:$PATH"
mkdir -p "$out"
mtrl-conic report "$runs" --out "$out/evaluations.csv"
mtrl-conic report "$runs" --out "$out/report.md"
# In reverse order, so that the configuration of a method's first seed remains.
find "$runs" -path '*/seed_*/config.yaml' | sort -r | while read -r config; do
  method="${config%/seed_*}" && method="${method#"$runs"/}"
  cp "$config" "$out/${method//\//_}.yaml"
done
"${PYTHON:-python}" scripts/draw_curves.py "$out"
ls -l "$out"
