#!/usr/bin/env bash
# An experiment of results/mt10/search from its kept configuration. The same command resumes.
# Use: scripts/mt10/search.sh ls|conicgrad|ls_lr3e-4|multihead|two_updates|average|return_limit|... [SEED]
set -euo pipefail
cd "$(dirname "$0")/../.."
name="${1:?the name of a file in results/mt10/search, such as ls}" seed="${2:-0}"
"${PYTHON:-python}" -m mtrl_conic train "results/mt10/search/$name.yaml" --seed "$seed" --threads "${THREADS:-1}" \
  --run-dir "${OUT:-runs/mt10/search/${name}_$seed}"
