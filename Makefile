# make demo    install into .venv, run and compare a hedged long on the sample, and say where the results are
# make test    the tests          make check    lint, types, tests, notebooks

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
RUN    := configs/hedged_long.toml

.PHONY: demo test check lint types notebooks clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(BIN)/.checked: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(BIN)/.installed
	$(BIN)/backtest run $(RUN) --out results/demo
	$(BIN)/backtest compare $(RUN) --out results/demo-compare
	@echo
	@echo "Results:  $(CURDIR)/results/demo and $(CURDIR)/results/demo-compare"
	@echo "Pictures: $(CURDIR)/results/demo/report.html and $(CURDIR)/results/demo-compare/report.html"

test: $(BIN)/.checked
	$(BIN)/python -m pytest -q

lint: $(BIN)/.checked
	$(BIN)/ruff check .

types: $(BIN)/.checked
	$(BIN)/mypy

notebooks: $(BIN)/.checked
	for each in notebooks/*.ipynb; do \
	  test -e "$$each" || continue; \
	  $(BIN)/jupyter execute --timeout=600 "$$each" || exit 1; \
	done

check: lint types test notebooks

clean:
	rm -rf $(VENV) results .pytest_cache .mypy_cache .ruff_cache .hypothesis
