#!/usr/bin/env bash
# Check what needs a CUDA GPU: recorded updates equal ordinary ones for every balancer, and a short training run can be
# stopped and resumed. Needs a PyTorch built for CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="${OUT:-runs/check_gpu}"
"$python" -m pytest -q tests/agents/test_recorded.py -k on_a_gpu
for seconds in 60 600; do  # killed in the first, resumed in the second
  timeout -s INT "$seconds" "$python" -m mtrl_conic train mt10_small --device cuda --record-updates true \
    --steps 5000 --run-dir "$out" || [ "$seconds" = 60 ]
done
