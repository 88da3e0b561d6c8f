# Three commands for people: `make colorize`, `make serve` and `make test`. All use .venv and work in any order.

PYTHON ?= python3
PHOTOS ?= samples
OUT ?= colorized
BIN := .venv/bin

.DELETE_ON_ERROR:
.PHONY: colorize serve test lint check docs model-table clean

# The core only: no torch. The samples are always colored anew; of your own, what is there is kept.
colorize: .venv/core.installed
	@mkdir -p "$(OUT)"
	@$(BIN)/colorizenet colorize "$(PHOTOS)" --out "$(OUT)" --sheet "$(OUT)/contact-sheet.png" \
		$(if $(filter samples,$(PHOTOS)),--overwrite); status=$$?; \
	[ $$status -gt 1 ] || echo "The results are in $(OUT); gray and color side by side: $(OUT)/contact-sheet.png"; \
	exit $$status

# The page and the API, on this machine only; `make serve SERVE="--port 9000 --no-ui"` changes how.
SERVE ?=
serve: .venv/serve.installed
	@$(BIN)/colorizenet serve $(SERVE)

# The page of the command line, and the picture at the top of the README.
SHOWN := cameraman dust-bowl-home moose black-canyon-1871 temple nagasaki-boats-1865
docs: .venv/dev.installed
	$(BIN)/colorizenet colorize $(SHOWN:%=samples/%.jpg) --out build/shown --overwrite --sheet docs/before-after.jpg
	$(BIN)/python docs/write_cli.py
	$(BIN)/python docs/draw_augmentations.py

# The README's table of models, measured on PICTURES=...; without it, from the figures that are kept.
model-table: .venv/dev.installed
	$(BIN)/python tools/model_table.py $(PICTURES)

test: .venv/dev.installed
	$(BIN)/python -m pytest

lint: .venv/dev.installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/pyright

check: lint test

clean:
	rm -rf .venv build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "colorizenet needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/core.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/serve.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[serve]'
	@touch $@ .venv/core.installed

.venv/dev.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/core.installed .venv/serve.installed
