#!/usr/bin/env bash
# Everything that only a CUDA GPU can show: recorded updates equal ordinary ones for every balancer, what one and several
# seeds cost either way, and a short training run that is stopped and resumed. Needs a PyTorch built for CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="${OUT:-runs/check_gpu}"
"$python" -m pytest -q tests/agents/test_recorded.py -k on_a_gpu
"$python" -m mtrl_conic bench seeds --device cuda
"$python" -m mtrl_conic bench seeds --device cuda --base classic
for seconds in 60 600; do  # killed in the first, resumed in the second
  timeout -s INT "$seconds" "$python" -m mtrl_conic train mt10_small --device cuda --record-updates true --seeds 0,1,2 \
    --steps 5000 --run-dir "$out" || [ "$seconds" = 60 ]
done
