# make lab     install what is needed and open the terminal lab
# make test    install what is needed and run all that CI runs: checks, tests, quick benchmarks; ARGS='-m "not slow"' leaves the longest out,
#              TESTERS=4 runs them in 4 processes rather than 2
# make check   format, lint, types, docs against code and their links (the import rules are among the tests)
# make docs    write the generated parts of README and docs, and the site in docs/_build/html
# VENV=DIR     puts the environment elsewhere (home quotas); PYTHON=… names the Python to make it from
VENV ?= .venv
PYTHON ?=
BIN = $(VENV)/bin
ARGS ?=
TESTERS ?= 2

# What computes is tested in processes of its own: one that has run a thousand networks is not the one to wait for
# others. 5: nothing was chosen by ARGS.
PYTEST = $(BIN)/python -m pytest -n $(TESTERS) --dist worksteal

.PHONY: lab test check venv format docs

lab: venv
	@$(BIN)/python -m tui $(ARGS)

venv:
	@sh tools/venv.sh "$(VENV)" "$(PYTHON)"

test: check
	$(PYTEST) tests/engine/compute tests/gpu $(ARGS) || [ $$? = 5 ]
	$(PYTEST) tests --ignore tests/engine/compute --ignore tests/gpu $(ARGS) || [ $$? = 5 ]
	$(BIN)/python -m tools.quick_benchmarks

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m tools.docs --check
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv
	$(BIN)/python -m tools.docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
