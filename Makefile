# Each target does its own set-up. PYTHON chooses the interpreter, ARGS go to the program or test runner.
PYTHON ?= python3
ARGS ?=
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help tour tour-rust test test-rust test-python compat compat-joblib compat-joblib-memory packages notebooks bench bench-rust build check wheel clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  PYTHON=python3.12 chooses the interpreter, ARGS="..." goes to the program that is run'

tour: ## run the example programs on multiprocessing and on phalanx, side by side
	@scripts/run examples/python/tour.py $(ARGS)

tour-rust: ## run the example programs in Rust, alone and with other processes
	@cargo run --release --example tour -- $(ARGS)

test: ## run the tests of the engine and of the Python package
	@scripts/check-machine
	@scripts/test-rust
	@scripts/test-python $(ARGS)

test-rust: ## run the tests of the engine
	@scripts/test-rust $(ARGS)

test-python: ## run the tests of the Python package
	@scripts/test-python $(ARGS)

compat: ## run the interpreter's own tests of multiprocessing on phalanx, and count
	@scripts/test-compat $(ARGS)

compat-joblib: ## run joblib's own tests on phalanx, and count; ARGS="..." goes to those of Parallel
	@scripts/test-compat-joblib $(ARGS)
	@[ -n "$(ARGS)" ] || scripts/test-compat-joblib-memory

compat-joblib-memory: ## run joblib's own tests of Memory and hash on phalanx, and count
	@scripts/test-compat-joblib-memory $(ARGS)

packages: ## run joblib, loky, pebble, mpire and scikit-learn on phalanx
	@scripts/test-packages $(ARGS)

notebooks: ## run the project's notebooks in a Jupyter kernel on phalanx
	@scripts/check-notebooks

bench: ## measure phalanx against multiprocessing and print the table
	@scripts/setup-env test packages
	@scripts/run benchmarks/run.py $(ARGS)

bench-rust: ## measure the engine against other crates (criterion); ARGS="messages" chooses one set
	@scripts/bench-rust $(ARGS)

build: ## build phalanx into .venv/VERSION, ready to import
	@scripts/build

check: ## check format, lints, types, docs, layers, licences and the wheel
	@scripts/check-all

wheel: ## build a wheel into dist/ and check what is in it
	@scripts/check-wheel

clean: ## remove everything that the other targets made
	rm -rf target dist .venv/[0-9]* .pytest_cache .mypy_cache .ruff_cache
	rm -f python/phalanx/_core*.so
	find . -name __pycache__ -type d -not -path "./.venv/*" -prune -exec rm -rf {} +
