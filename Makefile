PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BASE ?= HEAD
PYTEST := $(BIN)/pytest -n 2 --dist loadfile
SHORT := -m "not slow and not gpu"

.PHONY: help demo test test-all arithmetic environments fast format check lint types layers tests docs release bench clean

# Two workers share two cores: a second thread in each would only wait for the other.
tests test-all environments fast: export OMP_NUM_THREADS ?= 1

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s%s\n", $$1, $$2}' Makefile

demo: $(INSTALLED)  ## make videos, extract features, analyze them with both methods
	$(BIN)/vadprobe demo --out demo-out

test: check  ## lint, types, layer contracts and the tests in their short profile

check: lint layers types tests

test-all: lint layers types  ## the same with every test, whole products of parameters, many random examples and faults
	VADPROBE_TESTS=all $(PYTEST)

# The kernels of torch, oneDNN, MKL and OpenBLAS on other processors, by threads; each line is one run of the tests.
OLD := ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Prescott OMP_NUM_THREADS=1
AVX2 := ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=2
MIXED := ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=SkylakeX OMP_NUM_THREADS=2
AMD := ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Zen OMP_NUM_THREADS=1

arithmetic: $(INSTALLED)  ## the tests under the arithmetic of four other processors
	env $(OLD) $(PYTEST) $(SHORT) -q
	env $(AVX2) $(PYTEST) $(SHORT) -q
	env $(MIXED) $(PYTEST) $(SHORT) -q
	env $(AMD) $(PYTEST) $(SHORT) -q

# Each has a folder of its own beside $(VENV), with the newest packages of the index. Only torch is the one that is tested:
# without its constraint pip takes gigabytes of CUDA libraries.
PYTHONS ?= python3.12 python3.13
NEWEST := tests/store tests/analyze tests/flows/commands tests/end_to_end/test_interoperability.py

environments:  ## a short form of the tests with the newest packages, under each of PYTHONS that is installed
	@for python in $(PYTHONS); do \
		if ! command -v $$python > /dev/null; then echo "$$python is not installed, and is left out"; continue; fi; \
		echo "under $$python:"; folder=$(VENV)-$$python; grep '^torch' constraints.txt > $(VENV)-torch.txt; \
		$$python -m venv $$folder && $$folder/bin/pip install --quiet --upgrade "pip>=25.1" && \
		$$folder/bin/pip install --quiet -c $(VENV)-torch.txt -e ".[all]" --group dev && \
		$$folder/bin/pytest -n 2 --dist loadfile $(SHORT) -q $(NEWEST) || exit 1; \
	done

fast: $(INSTALLED)  ## lint, and the tests of ROOM=store/format, or of what differs from the last commit (or BASE=main)
	$(BIN)/ruff check --quiet .
	@chosen=$$(if test -n "$(ROOM)"; then echo "tests/$(ROOM)"; else $(BIN)/python tests/project/touched.py --base $(BASE); fi) || exit 1; \
	test -z "$$chosen" || $(PYTEST) -q $(SHORT) $$chosen || test $$? -eq 5 # 5: all of them are slow

format: $(INSTALLED)  ## put the code in form, and mend what ruff can mend
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

lint: $(INSTALLED)  ## ruff: rules and form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy

layers: $(INSTALLED)  ## the contracts between rooms
	$(BIN)/lint-imports

tests: $(INSTALLED)  ## the tests in their short profile
	$(PYTEST) $(SHORT)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]" --group dev --group docs
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade --no-deps --target $(VENV)/comparisons --group comparisons
	touch $(INSTALLED)

docs: $(INSTALLED)  ## the pages that follow from the code, and the site into site/; a warning is an error
	$(BIN)/python docs/generate.py
	PYTHONPATH=docs/assets $(BIN)/zensical build --strict --clean

release: $(INSTALLED)  ## sdist and wheel of the current tag (or TAG=v0.1.0) into dist/, the wheel installed and tried
	$(BIN)/python tests/project/release.py $(if $(TAG),--tag $(TAG))

# One thread, as the results in benchmarks/results say.
bench: $(INSTALLED)  ## time store reading, saliency, locator and extraction beside their peers
	for name in store.store_reading analyze.saliency analyze.locator extract.extraction; do \
		OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:  ## remove what was made, the environment included
	rm -rf $(VENV) $(VENV)-* demo-out site .cache dist build *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
