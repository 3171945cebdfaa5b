#!/usr/bin/env bash
# The runs of results/toy: all balancers for the default number of steps, the claims of the papers at 100,000 steps, the
# fronts traced by preferences, and the update vectors. The same command resumes. Use: scripts/toy.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-runs/toy}"

toy() {
  "${PYTHON:-python}" -m mtrl_conic toy "$@"
}

toy --balancers all cagrad:c=0.5 famo:gamma=0 --problems classic,classic_scaled --out "$out/all"
toy --balancers all gradops:alpha=-5 gradops:alpha=-2 gradops:alpha=2 --problems gradops --out "$out/gradops"
toy --balancers ls cagrad:c=0.5 conicgrad nashmtl famo:gamma=0 famo --problems classic --steps 100000 --out "$out/claims"
toy --balancers gradops:alpha=-5 gradops:alpha=-2 gradops:alpha=-1 gradops:alpha=0 gradops:alpha=2 gradops:alpha=5 \
  imtl_g mgda --problems gradops --steps 100000 --out "$out/alphas"
toy --balancers conicgrad:c=0.1 conicgrad:c=0.25 conicgrad:c=0.5 conicgrad:c=0.75 conicgrad:c=0.9 --problems classic \
  --out "$out/cones"
toy --balancers all --preferences 5 --problems classic --out "$out/preferences"
toy --vectors --balancers all --out "$out/vectors"
