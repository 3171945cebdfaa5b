#!/usr/bin/env bash
# Seven balancers over three seeds on a base, two runs at a time: results/mt10/balancers_strong, balancers_classic. The
# same command again resumes. Use: scripts/mt10_balancers.sh strong|classic
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:?strong or classic}" in
  strong) agent=(--base strong) steps=15000 ;;
  classic) agent=(--base classic --batch-size 32 --initial-temperature 0.1) steps=10000 ;;  # as in learn_mt10.sh
  *) echo "unknown base $1: strong or classic" >&2; exit 2 ;;
esac
out="${OUT:-runs/balancers_$1}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small "${agent[@]}" --seeds "${SEEDS:-0,1,2}" --steps "${STEPS:-$steps}" \
  --balancers ls,pcgrad,cagrad,nashmtl,famo,gradops,conicgrad --evaluate-every 5000 --checkpoint-every 2500 \
  --training-episodes-per-task 10 --compile true --jobs "${JOBS:-2}" --threads 1 --out "$out"
scripts/kept_comparison.sh "$out" "results/mt10/balancers_$1"
