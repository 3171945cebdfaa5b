#!/usr/bin/env bash
# Three balancers, two seeds, 3.5 minutes each, and the report about them: results/comparison. It takes a quarter of an
# hour of two cores, and Chromium for the picture. The same command again resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
make compare
scripts/kept_comparison.sh
