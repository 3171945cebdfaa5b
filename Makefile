# Everything happens in .venv, made by the first target that needs it.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/mt10
MINUTES ?= 5

.PHONY: mt10 test slow lint docs clean

mt10: .venv/ready  ## train MT10 with ConicGrad for a few minutes; the same command again shows the result
	$(BIN)/mtrl-conic train mt10_small --balancer conicgrad --minutes $(MINUTES) --run-dir $(RUN)

test: .venv/ready  ## the tests, a file at a time on each of two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

slow: .venv/ready  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: .venv/ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv
