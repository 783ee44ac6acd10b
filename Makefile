# Each target sets up .venv as it needs; `make` without a target prints the list.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-all check format architecture bench bench-exact bench-inference bench-descent bench-spark clean

help:
	@echo "make demo           install, and run the whole tutorial; figures go to squarely-demo/"
	@echo "make test           install what the tests need, and run those that take minutes"
	@echo "make test-all       run all tests, with clusters, several processes and kills, as CI does;"
	@echo "                    ARGS='-k sweep' chooses among them, here and in make test"
	@echo "make check          check format, lint and types"
	@echo "make format         let ruff rewrite the code"
	@echo "make architecture   redraw the diagram in CONTRIBUTING.md"
	@echo "make bench          check answers against statsmodels, then measure"
	@echo "make bench-exact    measure least squares against other packages, with up to 100,000,000 rows and 12 GB of disk;"
	@echo "                    limit it with ARGS='E1 E3' or ARGS=--quick; ARGS='--data DIR' keeps the data"
	@echo "make bench-inference measure standard errors against statsmodels; ARGS='I1 I3', ARGS=--quick, ARGS='I5 I6 --rows 20000000'"
	@echo "make bench-descent  measure training against other packages; ARGS='D1 D3', ARGS=--quick"
	@echo "make bench-spark    measure least squares in Spark against Spark's own; ARGS='E7 growth', ARGS=--quick; needs Java"
	@echo "make clean          remove .venv and everything that make has written"

demo: .venv/demo.stamp
	$(BIN)/squarely demo

TEST := $(BIN)/python -m pytest --numprocesses auto --dist loadgroup --durations 10
SLOW := (cluster or process_group or kill) and not smoke

test: .venv/dev.stamp
	$(TEST) -m "not ($(SLOW))" $(ARGS)

test-all: export HYPOTHESIS_PROFILE = ci
test-all: test
	$(TEST) -m "$(SLOW)" $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

architecture: .venv/dev.stamp
	$(BIN)/python -m tests.support.import_graph

bench: .venv/dev.stamp
	$(BIN)/python benchmarks/tutorial.py
	$(BIN)/python benchmarks/formulas.py

bench-descent: .venv/bench.stamp
	$(BIN)/python benchmarks/descent.py $(ARGS)

bench-exact: .venv/bench.stamp
	$(BIN)/python benchmarks/exact.py $(ARGS)

bench-inference: .venv/bench.stamp
	$(BIN)/python benchmarks/inference.py $(ARGS)

bench-spark: .venv/bench.stamp
	$(BIN)/python benchmarks/spark.py $(ARGS)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("squarely needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo 'Installing squarely into .venv; PyTorch makes this take a minute or two.'
	@$(PIP) --editable '.[all]'
	@touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo 'Installing squarely and its tests into .venv; PyTorch makes this take a minute or two.'
	@$(PIP) --editable '.[dev]'
	@touch $@ .venv/demo.stamp

.venv/bench.stamp: .venv/dev.stamp
	@$(PIP) --editable '.[dev,bench]'
	@touch $@

clean:
	rm -rf .venv squarely-demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
