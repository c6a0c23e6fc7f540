# The same targets for people and for CI. Everything runs in .venv, made from locked dependencies with hashes.
PYTHON ?= python3
VENV := .venv
# Each takes a core and up to 4 GB; the tests of a file share what they set up.
WORKERS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: help demo test test-slow check format lock bench clean

help:
	@echo "make demo       compress the embedded clothing classifier (about 6 minutes)"
	@echo "make test       run the tests"
	@echo "make test-slow  run the slow tests too"
	@echo "make check      format, lint, types, import layers"
	@echo "make bench      rerun the measured claims (a day)"

demo: $(STAMP)
	$(BIN)/l2c demo --out demo-family

test: $(DEV_STAMP)
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(DEV_STAMP)
	$(BIN)/python -m pytest $(ARGS)

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python benchmarks/batch_norm.py
	$(BIN)/python benchmarks/onednn.py
	$(BIN)/python benchmarks/cifar10.py
	$(BIN)/python benchmarks/clothing.py
	$(BIN)/python benchmarks/imagenette.py
	$(BIN)/python benchmarks/applications.py
	$(BIN)/python benchmarks/inspect_model.py
	$(BIN)/python benchmarks/importance.py
	$(BIN)/python benchmarks/pruning_resnet56.py
	$(BIN)/python benchmarks/pruning_clothing.py
	$(BIN)/python benchmarks/pruning_imagenette.py
	$(BIN)/python benchmarks/pruning_training.py
	$(BIN)/python benchmarks/sparsity.py
	$(BIN)/python benchmarks/channel_multiples.py
	$(BIN)/python benchmarks/students.py
	$(BIN)/python benchmarks/cifar10_hour.py
	$(BIN)/python benchmarks/joint.py --epochs 8
	$(BIN)/python benchmarks/distiller.py --images 8000 --epochs 4 --more-epochs 7
	$(BIN)/python benchmarks/kill_resume.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/quantization.py
	$(BIN)/python benchmarks/waiting.py
# What has to fetch a machine or packages ends in an error where that can't be had; the next one runs all the same.
	-$(BIN)/python benchmarks/arm.py
	-$(BIN)/python benchmarks/pruning_torch.py

# Only the locks decide what is installed; the package itself is installed without dependencies.
$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "learn2compress needs Python 3.11 or newer; set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/uv: $(BIN)/python requirements/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(STAMP): $(BIN)/uv requirements/run.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/run.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(STAMP) requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

# Writes the locks anew from pyproject.toml (no host names: the index is the installer's business).
lock: $(BIN)/uv
	$(BIN)/uv lock --quiet --upgrade
	$(BIN)/uv export --quiet --no-emit-project --no-default-groups --group build --format requirements-txt -o requirements/run.txt
	$(BIN)/uv export --quiet --no-emit-project --all-groups --format requirements-txt -o requirements/dev.txt
	rm -f uv.lock

clean:
	rm -rf $(VENV) demo-family .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
