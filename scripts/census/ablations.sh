#!/usr/bin/env bash
# The ablations of both papers on census data at three epochs and two seeds: results/census/ablations. The same command
# resumes. Use: scripts/census/ablations.sh DATA [FOLDER]
#   EPOCHS=12 SEEDS=0,1,2 scripts/census/ablations.sh DATA   as long as results/census
set -euo pipefail
cd "$(dirname "$0")/../.."
data="${1:?the folder of the census files}" out="${2:-runs/census_ablations}"

methods=ls
for alpha in -10 -5 -3 -2 -1 0 1 2 5 10; do methods+=",gradops:alpha=$alpha"; done
for gradients in pcgrad uniform; do methods+=",gradops:alpha=-3,reweight=$gradients"; done
for weights in 2+1+1 1+2+1 1+1+2 3+1+1 1+3+1 1+1+3; do methods+=",gradops:preference=$weights"; done
for c in 0.25 0.5 0.9; do
  for gamma in 0.001 0.01; do methods+=",conicgrad:c=$c,gamma=$gamma"; done
done
"${PYTHON:-python}" -m mtrl_conic supervised census --data "$data" --balancers "$methods" --seeds "${SEEDS:-0,1}" \
  --epochs "${EPOCHS:-3}" --learning-rate 0.001 --threads 1 --jobs "${JOBS:-1}" --out "$out"
