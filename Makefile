# make lab     install what is needed and open the terminal lab
# make test    install what is needed and run all that CI runs; ARGS='-m "not slow"' leaves the longest out
# make check   format, lint, types, docs against code (the import rules are among the tests)
# VENV=DIR     puts the environment elsewhere (home quotas); PYTHON=… names the Python to make it from
VENV ?= .venv
PYTHON ?=
BIN = $(VENV)/bin
ARGS ?=

.PHONY: lab test check venv format docs

lab: venv
	@$(BIN)/python -m tui $(ARGS)

venv:
	@sh tools/venv.sh "$(VENV)" "$(PYTHON)"

test: check
	$(BIN)/python -m pytest $(ARGS)

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/docs.py --check

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv
	$(BIN)/python tools/docs.py
