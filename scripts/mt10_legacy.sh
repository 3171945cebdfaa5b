#!/usr/bin/env bash
# The methods of the older published MT10 tables with their protocol, each with the settings of its published runs
# (docs/papers.md), and one report of all of them. The published runs have 2,000,000 steps and ten seeds; for less, use
#   STEPS=100000 SEEDS=0,1 scripts/mt10_legacy.sh
# The same command resumes. JOBS is the number of runs at a time, OPTIONS are further flags of `compare`.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${OUT:-runs/mt10_legacy}"

compared() {  # folder, methods, flags
  local folder="$1" methods="$2"
  shift 2
  # shellcheck disable=SC2086  # OPTIONS must be split into words
  "${PYTHON:-python}" -m mtrl_conic compare mt10_legacy --balancers "$methods" "$@" --seeds "${SEEDS:-0,1,2,3,4,5,6,7,8,9}" \
    --steps "${STEPS:-2000000}" --jobs "${JOBS:-2}" --out "$out/$folder" ${OPTIONS:-}
}

compared balancers ls,pcgrad,cagrad:c=0.9,nashmtl:update_every=1,nashmtl:update_every=50,nashmtl:update_every=100,sdmgrad:lam=0.6,moco,conicgrad
compared famo famo:gamma=0.01,lr=0.025 --balance critic
compared networks ls --network multihead,soft_modularization
compared single_task ls --network single_task --temperatures task --batch balanced
"${PYTHON:-python}" -m mtrl_conic report "$out" --out "$out/report.html"
