PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check lint types layers tests faults clean

demo: $(INSTALLED)  ## make videos, extract features, analyze them with both methods
	$(BIN)/vadprobe demo --out demo-out

test: check

check: lint types layers tests

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

tests: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadfile

faults: $(INSTALLED)  ## kills, byte flips, lost claims: the same tests as in 'test', many more times
	VADPROBE_FAULTS=60 $(BIN)/pytest -n 2 --dist loadfile tests/test_faults.py tests/test_claims.py tests/test_byte_flips.py tests/test_remote_store.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]" --group dev
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) demo-out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
