#!/usr/bin/env bash
# Three balancers, two seeds, 3.5 minutes each, and their report: results/comparison. It takes a quarter of an hour on
# two cores, and needs Chromium for the picture of the report. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
make compare
scripts/kept_comparison.sh
PYTHON="$PWD/.venv/bin/python" scripts/report_picture.sh runs/comparison results/comparison/page.png
