#!/usr/bin/env bash
# Check and measure what needs a CUDA GPU: the tests that are skipped without one, updates, and a training run that is
# stopped and resumed. Needs a PyTorch built for CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="${OUT:-runs/check_gpu}"
MTRL_CONIC_TEST_GPU=1 "$python" -m pytest -q tests/test_gpu.py
for precision in float32 bfloat16; do
  "$python" -m mtrl_conic bench update --device cuda --base strong --width 256 --precision "$precision" --compile
done
for seconds in 60 600; do  # stopped in the first, resumed in the second
  timeout -s INT "$seconds" "$python" -m mtrl_conic train mt10_small --device cuda --record-updates true \
    --steps 5000 --run-dir "$out" || [ "$seconds" = 60 ]
done
