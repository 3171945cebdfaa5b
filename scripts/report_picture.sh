#!/usr/bin/env bash
# Draw the top of the report of some runs as a PNG picture; this needs Chromium.
# Use: scripts/report_picture.sh runs/comparison results/comparison/page.png
set -euo pipefail
browser="$(command -v chromium || command -v google-chrome)" || { echo "apt-get install chromium" >&2; exit 1; }
python="${PYTHON:-python}" page="$(mktemp -d)"
trap 'rm -rf "$page"' EXIT
"$python" -m mtrl_conic report "$1" --out "$page/report.html"
# The default HEIGHT, in pixels, reaches from the title to the first curves.
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=20000 \
  --window-size=1100,"${HEIGHT:-2060}" --screenshot="$page/page.png" "file://$page/report.html" 2>/dev/null
"$python" "$(dirname "$0")/pictures.py" "$page/page.png" "$2"
