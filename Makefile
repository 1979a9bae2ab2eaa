PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NORMFIX := $(BIN)/normfix
INSTALLED := $(VENV)/installed
MODEL := examples/classifier/model.py:trained

.PHONY: demo test check lint format clean

# Lint the examples, check a model, fold its batch norms and print the proof.
demo: $(INSTALLED)
	$(NORMFIX) lint examples --exit-zero
	$(NORMFIX) check $(MODEL) --input 8x3x32x32 --exit-zero
	$(NORMFIX) fold $(MODEL) --input 8x3x32x32

test: $(INSTALLED)
	$(BIN)/pytest -n 2

check: lint test

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) dist build

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
