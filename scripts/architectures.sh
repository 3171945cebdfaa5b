#!/usr/bin/env bash
# Every network with ls, gradops and conicgrad on MT10: what it costs and that it trains. The same command again resumes.
#   scripts/architectures.sh [STEPS]                   2,000 steps of each, then the table in results/architectures/
#   MINUTES=30 BALANCERS=ls scripts/architectures.sh   a learning curve of half an hour each; OUT= and TABLE= to keep apart
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
