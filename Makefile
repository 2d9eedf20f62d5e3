PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out
# Processes of the tests that test-all and sweep run; ONNX_EDGE_GRAPHS is how many random graphs they draw.
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all sweep check lint-c sanitize-c coverage-c bench docs clean fuzz

demo: $(VENV)/.ready
	mkdir -p $(OUT)
	$(BIN)/onnx-edge run models/lenet5.toml -o $(OUT)/demo --force

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not sweep"

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

# cppcheck and clang-tidy over kernels and generated C; what is not installed is skipped with its package's name.
lint-c: $(VENV)/.ready
	$(BIN)/python -m pytest -q tests/compile/test_quality.py -m "not slow or slow" -k "cppcheck or clang_tidy or deviations"

# The compiler's tests, with every kernel built to watch memory and undefined behaviour; without those that build no
# code for this machine. libstdc++ comes with ASan's runtime, which looks for its functions when Python starts.
UNWATCHED := devices golden pc quality wasm
sanitize-c: $(VENV)/.ready
	ONNX_EDGE_KERNELS=sanitize ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal tests/compile -m "not slow and not sweep" \
	$(UNWATCHED:%=--ignore=tests/compile/test_%.py)

# Networks that run every line and branch of the kernels, each answer judged; then gcovr, which fails below 100%.
coverage-c: $(VENV)/.ready
	rm -rf $(OUT)/coverage
	mkdir -p $(OUT)/coverage
	ONNX_EDGE_KERNELS=coverage:$(OUT)/coverage $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal tests/compile/coverage
	$(BIN)/python -m tests.compile.coverage $(OUT)/coverage

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
