# make lab     install what is needed and open the terminal lab
# make test    install what is needed and run all that CI runs: checks, tests, quick benchmarks; ARGS='-m "not slow"' leaves the longest out,
#              TESTERS=2 runs them in 2 processes rather than 4, which takes half the memory: each has about 2 GB with its servers
# make check   format, lint, types, docs against code and their links (the import rules are among the tests)
# make docs    write the generated parts of README and docs, and the site in docs/_build/html
# VENV=DIR     puts the environment elsewhere (home quotas); PYTHON=… names the Python to make it from
VENV ?= .venv
PYTHON ?=
BIN = $(VENV)/bin
ARGS ?=
TESTERS ?= 4

# Half of the tests compute, the others wait most of their time, for the lab, for Slurm, for the end of a study: on two
# processors, four processes of both kinds leave neither idle. 5: nothing was chosen by ARGS.
PYTEST = $(BIN)/python -m pytest -n $(TESTERS) --dist worksteal

.PHONY: lab test check venv format docs

lab: venv
	@$(BIN)/python -m tui $(ARGS)

venv:
	@sh tools/venv.sh "$(VENV)" "$(PYTHON)"

test: check
	$(PYTEST) $(ARGS) || [ $$? = 5 ]
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
