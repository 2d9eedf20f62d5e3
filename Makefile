PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out
# Processes of the tests that test-all and sweep run; ONNX_EDGE_GRAPHS is how many random graphs they draw.
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all sweep check bench docs clean fuzz

demo: $(VENV)/.ready
	mkdir -p $(OUT)
	$(BIN)/onnx-edge run models/lenet5.toml -o $(OUT)/demo --force

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 -m "not slow and not sweep"

test-all: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

sweep: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m sweep

SECONDS ?= 600
fuzz: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	mkdir -p $(OUT)/fuzz/corpus
	$(BIN)/python -m tests.border.fuzz --seeds $(OUT)/fuzz/corpus
	$(BIN)/python -m tests.border.fuzz $(OUT)/fuzz/corpus tests/border/corpus -artifact_prefix=$(OUT)/fuzz/found- -max_total_time=$(SECONDS) -print_final_stats=1

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

docs: $(VENV)/.ready
	$(BIN)/python -m tests.house.generate

clean:
	rm -rf $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu,train,dev]'
	touch $@
