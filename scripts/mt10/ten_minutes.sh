#!/usr/bin/env bash
# Ten minutes of training with separate heads in bfloat16, three seeds, one after the other: results/mt10/ten_minutes.
# The same command again resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/ten_minutes}" result=results/mt10/ten_minutes
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers ls --network multihead --seeds "${SEEDS:-3,4,5}" \
  --steps 1000000 --minutes 10 --precision auto --compile true --evaluate-every 1000000 --checkpoint-every 10000 \
  --jobs "${JOBS:-1}" --threads 1 --out "$out"
scripts/kept_curves.sh "$result" "$out"/ls/seed_*
