# Functions to train the small preset and to branch a saved run; sourced by scripts that try settings on it.
# shellcheck shell=bash
train() {  # SEED DIRECTORY STEPS EVALUATE_EVERY [flags]
  "$PYTHON" -m mtrl_conic train mt10_small --balancer ls --steps "$3" --replay-capacity 200000 --precision auto \
    --compile true --threads 1 --training-episodes-per-task 10 --checkpoint-every 10000 --seed "$1" --run-dir "$2" \
    --evaluate-every "${@:4}"
}
branch() {  # SAVED SEED DIRECTORY STEPS EVALUATE_EVERY [flags]
  if [ ! -e "$3" ]; then
    mkdir -p "$(dirname "$3")"
    rm -rf "$3.copy"
    cp -r "$1" "$3.copy"
    mv "$3.copy" "$3"
  fi
  train "$2" "$3" "$4" "$5" --allow-changes "${@:6}"
}
export -f train branch
