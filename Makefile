# make demo    install into .venv, run and compare a hedged long on the sample, and say where results and pictures are
# make test    the tests          make check    lint, types, tests, notebooks
# make notebooks   run them on copies, and hold what they say against what is kept;  make outputs   keep what they say now
# make pictures   the screenshots of the README again, in a Chromium
# make bench   how fast it is, beside a C program and vectorbt; ARGS="--only w1 --rounds 3" for less

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
RUN    := configs/hedged_long.toml
TESTS  := -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test uncompiled check lint types notebooks outputs pictures bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): some minutes, for it brings pandas, numba and vectorbt ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(BIN)/.checked: $(BIN)/.installed
	@echo "Installing tools for tests and notebooks: some minutes ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(BIN)/.installed
	@echo "Running $(RUN) ..."
	@$(BIN)/backtest run $(RUN) --report --out results/demo
	@echo "Comparing margin modes ..."
	@$(BIN)/backtest compare $(RUN) --report --out results/demo-compare
	@echo
	@echo "Results:  results/demo          what the run did"
	@echo "          results/demo-compare  the same under every margin mode"
	@echo "Pages:    results/demo/report.html"
	@echo "          results/demo-compare/report.html"
	@echo "Pictures: results/demo/picture.png"
	@echo "          results/demo-compare/picture.png"

test: $(BIN)/.checked
	$(BIN)/python $(TESTS)

uncompiled: $(BIN)/.checked
	NUMBA_DISABLE_JIT=1 $(BIN)/python $(TESTS) -m jit_off

lint: $(BIN)/.checked
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(BIN)/.checked
	$(BIN)/mypy

notebooks: $(BIN)/.checked
	$(BIN)/python -m tests.notebooks $(ARGS)

outputs: $(BIN)/.checked
	$(BIN)/python -m tests.notebooks --keep $(ARGS)

check: lint types test notebooks

pictures: $(BIN)/.checked
	$(BIN)/python tests/pictures.py

bench: $(BIN)/.checked
	$(BIN)/python -m tests.benchmark $(ARGS)

clean:
	rm -rf $(VENV) results .pytest_cache .mypy_cache .ruff_cache .hypothesis
