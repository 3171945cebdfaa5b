#!/usr/bin/env bash
# Train three Gymnasium MuJoCo environments with different spaces, lengths and ends together with ConicGrad for ten
# minutes, with the shared network and with soft modularisation. Then evaluate random actions on the same episodes,
# write the table, and check that every run beats random actions by the margins and acts the same after loading. The
# same command resumes.
#   scripts/gymnasium_mujoco.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="${OUT:-runs/gymnasium_mujoco}" table="${TABLE:-results/gymnasium_mujoco}"
mkdir -p "$out" "$table"
"$python" -m mtrl_conic evaluate gymnasium_mujoco --policy random --episodes-per-task 20 --json "$table/random.json"
"$python" -m mtrl_conic compare gymnasium_mujoco --network shared,soft_modularization --seeds "${SEEDS:-0}" \
  --steps 1000000 --minutes "${MINUTES:-10}" --threads 1 --jobs "${JOBS:-1}" --out "$out"
"$python" scripts/run_table.py "$out" --random "$table/random.json" --out "$table"
"$python" scripts/check_runs.py "$out" --random "$table/random.json" \
  --margins InvertedPendulum-v5=300 Reacher-v5=20 Hopper-v5=150 | tee "$table/check.txt"
