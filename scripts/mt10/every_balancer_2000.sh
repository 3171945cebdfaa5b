#!/usr/bin/env bash
# Every balancer for 2,000 steps of the small preset: results/mt10/every_balancer_2000. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:-runs/mt10/every_balancer_2000}"
"${PYTHON:-python}" -m mtrl_conic compare mt10_small --balancers all --seeds 0 --steps 2000 --evaluate-every 100000 \
  --episodes-per-task 2 --jobs "${JOBS:-1}" --threads 1 --out "$out"
"${PYTHON:-python}" scripts/export_curves.py "$out"/*/seed_0 --out results/mt10/every_balancer_2000/curves.csv
"${PYTHON:-python}" scripts/draw_finals.py results/mt10/every_balancer_2000
