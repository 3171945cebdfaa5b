#!/usr/bin/env bash
# Three balancers, two seeds, 3.5 minutes each, and their report: results/comparison. It takes a quarter of an hour on
# two cores, and needs Chromium for the picture of the report. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
browser="$(command -v chromium || command -v google-chrome)" || { echo "apt-get install chromium" >&2; exit 1; }
make compare
scripts/kept_comparison.sh
python="$PWD/.venv/bin/python" page="$(mktemp -d)"
trap 'rm -rf "$page"' EXIT
"$python" -m mtrl_conic report runs/comparison --out "$page/report.html"
# The default HEIGHT, in pixels, reaches from the title to the first curves.
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=20000 \
  --window-size=1100,"${HEIGHT:-2060}" --screenshot="$page/page.png" "file://$page/report.html" 2>/dev/null
"$python" scripts/pictures.py "$page/page.png" results/comparison/page.png
