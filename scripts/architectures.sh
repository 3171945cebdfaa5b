#!/usr/bin/env bash
# Train every network with ls, gradops and conicgrad on MT10, to measure its cost. The same command resumes.
#   scripts/architectures.sh [STEPS]                   2,000 steps each, then the table in results/architectures/
#   MINUTES=30 BALANCERS=ls scripts/architectures.sh   half an hour each; OUT= and TABLE= set other folders
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="${OUT:-runs/architectures}" table="${TABLE:-results/architectures}"
networks="${NETWORKS:-shared,multihead,soft_modularization,single_task}"
budget=(--steps "${1:-2000}" --log-every 250 --evaluate-every 1000000 --episodes-per-task "${EPISODES:-10}")
if [[ -n "${MINUTES:-}" ]]; then
  budget=(--steps 1000000 --minutes "$MINUTES" --evaluate-every 5000 --training-episodes-per-task 10)
fi
"$python" -m mtrl_conic compare mt10_small --balancers "${BALANCERS:-ls,gradops,conicgrad}" --network "$networks" \
  --seeds "${SEEDS:-0}" "${budget[@]}" --jobs "${JOBS:-1}" --threads 1 --out "$out"
"$python" scripts/run_table.py "$out" --out "$table"
