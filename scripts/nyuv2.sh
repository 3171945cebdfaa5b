#!/usr/bin/env bash
# Equal weights, seven balancers and single tasks on NYUv2 at 48x64, three seeds: results/nyuv2. The same command resumes.
# Use: scripts/nyuv2.sh FOLDER, with the archive of 144x192 pixels
set -euo pipefail
cd "$(dirname "$0")/.."
data="${1:?the folder with the archive}" out="${OUT:-runs/nyuv2}"
"${PYTHON:-python}" -m mtrl_conic supervised nyuv2 --data "$data" --seeds 0,1,2 --epochs 4 --batch-size 8 \
  --learning-rate 1e-3 --selection last --options network=small shrink=3 --threads 1 \
  --balancers stl,ls,pcgrad,gradvac,mgda,cagrad,imtl_g,gradops:alpha=-0.5,gradops:alpha=-1,conicgrad --out "$out"
cp "$out"/{results.csv,curves.csv,table.md} "$out/ls/seed_0/config.yaml" results/nyuv2
"${PYTHON:-python}" scripts/draw_finals.py results/nyuv2
