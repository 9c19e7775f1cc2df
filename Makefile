PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BASE ?= HEAD

.PHONY: demo test test-all fast check lint types layers tests clean

# Two workers share two cores: a second thread in each would only wait for the other.
export OMP_NUM_THREADS ?= 1

demo: $(INSTALLED)  ## make videos, extract features, analyze them with both methods
	$(BIN)/vadprobe demo --out demo-out

test: check  ## lint, types, layer contracts and the tests in their short profile

check: lint layers types tests

test-all: lint layers types  ## the same with every test, whole products of parameters, many random examples and faults
	VADPROBE_TESTS=all $(BIN)/pytest -n 2 --dist loadfile

fast: $(INSTALLED)  ## lint, and the tests that what differs from the last commit (or BASE=...) touches
	$(BIN)/ruff check --quiet .
	@chosen=$$($(BIN)/python tests/touched.py --base $(BASE)) && { test -z "$$chosen" || $(BIN)/pytest -q -m "not slow" $$chosen; }

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

tests: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]" --group dev
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade --no-deps --target $(VENV)/comparisons --group comparisons
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) demo-out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
