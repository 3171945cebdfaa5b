#!/usr/bin/env bash
# Balancers over several seeds, two runs at a time; balancers_strong.sh, balancers_classic.sh and set_apart_*.sh call it.
# The same command resumes. Use: [BALANCERS=ls,cagrad] scripts/mt10/balancers.sh NAME STEPS [flags of compare]
set -euo pipefail
cd "$(dirname "$0")/../.."
name="$1" out="${OUT:-runs/mt10/$1}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small "${@:3}" --seeds "${SEEDS:-0,1,2}" --steps "${STEPS:-$2}" \
  --balancers "${BALANCERS:-ls,pcgrad,cagrad,nashmtl,famo,gradops,conicgrad}" --evaluate-every 5000 \
  --checkpoint-every 2500 --training-episodes-per-task 10 --compile true --jobs "${JOBS:-2}" --threads 1 --out "$out"
scripts/kept_comparison.sh "$out" "results/mt10/$name"
