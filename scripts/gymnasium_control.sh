#!/usr/bin/env bash
# Ten minutes of three Gymnasium MuJoCo environments with different spaces, lengths and ends, trained together; then the
# same environments under random actions, the export of the actor, and its model card. The same command again resumes.
#   scripts/gymnasium_control.sh [BALANCER] [NETWORK] [SEED]
set -euo pipefail
cd "$(dirname "$0")/.."
balancer="${1:-conicgrad}" network="${2:-shared}" seed="${3:-0}"
tasks="[gymnasium:InvertedPendulum-v5, gymnasium:Reacher-v5, gymnasium:Hopper-v5]"
run="runs/gymnasium_${balancer}_${network}_${seed}"
python="${PYTHON:-python}"
mkdir -p runs
printf 'task_set: %s\n' "$tasks" | cat - <(sed '/^task_set:/d' configs/gymnasium_control.yaml) > runs/gymnasium_three.yaml
"$python" -m mtrl_conic evaluate runs/gymnasium_three.yaml --policy random --episodes-per-task 20 --json "runs/gymnasium_random.json"
"$python" -m mtrl_conic train runs/gymnasium_three.yaml --balancer "$balancer" --network "$network" --seed "$seed" \
  --minutes "${MINUTES:-10}" --steps 1000000 --threads "${THREADS:-1}" --run-dir "$run"
"$python" -m mtrl_conic export "$run" --out "$run/export"
