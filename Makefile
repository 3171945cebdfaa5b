# All targets work in .venv, which the first target that needs it creates.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/mt10
MINUTES ?= 5
COMPARED ?= runs/comparison
BALANCERS ?= ls,pcgrad,conicgrad
SEEDS ?= 0,1
MINUTES_EACH ?= 3.5

.PHONY: help install mt10 compare test slow parity chaos fuzz lint docs lock sbom audit clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: .venv/ready  ## create .venv with everything that the commands and the tests need
	@echo 'Installed. Now: . .venv/bin/activate'

mt10: .venv/ready  ## train MT10 with ConicGrad for a few minutes; repeat the command to see the result again
	$(BIN)/mtrl-conic train mt10_small --balancer conicgrad --minutes $(MINUTES) --run-dir $(RUN)

compare: .venv/ready  ## run a short comparison on MT10 and write its report; the same command resumes it
	$(BIN)/mtrl-conic compare mt10_small --balancers $(BALANCERS) --seeds $(SEEDS) --minutes $(MINUTES_EACH) \
	  --jobs 2 --threads 1 --out $(COMPARED)
	$(BIN)/mtrl-conic report $(COMPARED) --out $(COMPARED)/report.html

test: .venv/ready  ## run the tests on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

slow: .venv/ready  ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

parity: .venv/ready  ## compare fast stepping with Meta-World's own on whole episodes of all fifty tasks
	$(BIN)/python -m pytest -m "slow or not slow" tests/envs/test_fast_parity.py

chaos: .venv/ready  ## kill runs 200 times at random moments and writes, and check that nothing is lost
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.chaos --kills 200

fuzz: .venv/ready  ## look for tracebacks and hangs in 20,000 random command lines over damaged files
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.fuzz --cases 20000

lint: .venv/ready  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/ready  ## build the documentation with its API reference in build/docs; warnings are errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/python -m sphinx -q -W -b html docs build/docs
	@echo build/docs/index.html

lock: build/tools/ready  ## write requirements.lock: all packages of an installation, with hashes, for Python 3.10 to 3.13
	UV_PYTHON_DOWNLOADS=never build/tools/bin/uv pip compile --quiet --universal --python-version 3.10 \
	  --generate-hashes --no-emit-index-url --constraint constraints.txt --extra supervised --extra video \
	  --custom-compile-command "make lock" --output-file requirements.lock setup.cfg

sbom: build/tools/ready  ## write build/sbom.json: the bill of materials of requirements.lock, in CycloneDX
	build/tools/bin/cyclonedx-py requirements --output-reproducible --output-file build/sbom.json requirements.lock

audit: build/tools/ready  ## list known vulnerabilities of the packages in requirements.lock; needs network access
	build/tools/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

build/tools/ready: constraints.txt
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet --constraint constraints.txt cyclonedx-bom pip-audit uv
	touch $@

.venv/ready: setup.cfg pyproject.toml constraints.txt
	@echo 'Installing into .venv: two to four gigabytes are downloaded, which takes some minutes.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:  ## remove .venv
	rm -rf .venv
