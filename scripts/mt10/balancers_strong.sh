#!/usr/bin/env bash
# Seven balancers on the strong base, 15,000 steps, five seeds: results/mt10/balancers_strong. The same command resumes;
# it takes two and a half hours of two cores, and needs Chromium for the picture of the report.
set -euo pipefail
cd "$(dirname "$0")/../.."
SEEDS="${SEEDS:-0,1,2,3,4}" scripts/mt10/balancers.sh balancers_strong 15000 --base strong
HEIGHT=1990 scripts/report_picture.sh "${OUT:-runs/mt10/balancers_strong}" results/mt10/balancers_strong/page.png
