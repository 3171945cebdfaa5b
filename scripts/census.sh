#!/usr/bin/env bash
# Fourteen methods and single tasks on Census-Income, three seeds: results/census. The same command resumes.
# Use: scripts/census.sh FOLDER, with the original files
set -euo pipefail
cd "$(dirname "$0")/.."
data="${1:?the folder with the original files}" out="${OUT:-runs/census}"
methods=stl,ls,pcgrad,gradvac,mgda,cagrad,imtl_g,gradnorm,gradops:alpha=0,gradops:alpha=2
methods+=,gradops:alpha=-1,gradops:alpha=-2,gradops:alpha=-3,conicgrad,rotograd:scale=false
"${PYTHON:-python}" -m mtrl_conic supervised census --data "$data" --seeds 0,1,2 --epochs 12 --learning-rate 0.001 \
  --threads 1 --balancers "$methods" --out "$out"
cp "$out"/{results.csv,curves.csv,table.md,trade_off_gradops_alpha.svg} results/census
cp "$out/ls/seed_0/config.yaml" results/census
"${PYTHON:-python}" scripts/draw_finals.py results/census
