#!/usr/bin/env bash
# Write the files that the repository keeps of a comparison, by default of `make compare`: every evaluation as CSV, the
# tables of the report, the configurations of the methods, and pictures of the curves and of the top of the page. The
# last picture needs Chromium.
# Use: scripts/kept_comparison.sh [runs/comparison [results/comparison]]
set -euo pipefail
cd "$(dirname "$0")/.."
runs="${1:-runs/comparison}" out="${2:-results/comparison}"
[ ! -x .venv/bin/mtrl-conic ] || PATH="$PWD/.venv/bin:$PATH"
browser="$(command -v chromium || command -v google-chrome)" || { echo "apt-get install chromium" >&2; exit 1; }
mkdir -p "$out"
mtrl-conic report "$runs" --out "$out/evaluations.csv"
mtrl-conic report "$runs" --out "$out/report.md"
for method in "$runs"/*/; do
  configs=("$method"seed_*/config.yaml)
  [ ! -f "${configs[0]}" ] || cp "${configs[0]}" "$out/$(basename "$method").yaml"
done
"${PYTHON:-python}" scripts/draw_curves.py "$out"
page="$(mktemp -d)"
trap 'rm -rf "$page"' EXIT
mtrl-conic report "$runs" --out "$page/report.html"
# The default HEIGHT, in pixels, reaches from the title to the first curves.
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=20000 \
  --window-size=1100,"${HEIGHT:-1750}" --screenshot="$page/page.png" "file://$page/report.html" 2>/dev/null
mv "$page/page.png" "$out/page.png"
ls -l "$out"
