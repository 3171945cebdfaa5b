#!/usr/bin/env bash
# Eight balancers and single tasks on KuaiRand-Pure, three seeds: results/recommendation. The same command resumes.
# Use: scripts/recommendation.sh FILE, such as kuairand_pure_228k.npz
set -euo pipefail
cd "$(dirname "$0")/.."
data="${1:?the file with the data}" out="${OUT:-runs/recommendation}"
"${PYTHON:-python}" -m mtrl_conic supervised recommendation --data "$data" --seeds 0,1,2 --epochs 4 \
  --options "hidden=[256,128]" --threads 1 \
  --balancers stl,ls,pcgrad,mgda,cagrad,imtl_g,gradnorm,gradops:alpha=-2,conicgrad --out "$out"
cp "$out"/{results.csv,curves.csv,table.md} "$out/ls/seed_0/config.yaml" results/recommendation
"${PYTHON:-python}" scripts/draw_finals.py results/recommendation
