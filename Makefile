# The two that a newcomer needs: make demo, make test. Everything runs in .venv, made on first use; another Python by
# make PYTHON=python3.12 ...
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-slurm lint type doctest fuzz bench bench-large reproduce tables figures report notebooks docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED) ## create .venv with the pinned versions
$(INSTALLED): pyproject.toml constraints.txt
	@echo "1 of 2: a Python of its own for this project, in .venv"
	$(PYTHON) -m venv .venv
	@echo "2 of 2: downloading and installing jojoscl and what it needs (some minutes)"
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## JojoSCL and PCA + K-means on two real sets and a simulated one: a page
	$(BIN)/jojoscl -m experiment=demo

test: $(INSTALLED) ## the quick tests, a process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

test-slow: $(INSTALLED) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-slurm: $(INSTALLED) ## a sweep on a one-node Slurm that it installs and starts (root in a Debian container)
	tests/slurm/start.sh
	$(BIN)/python -m pytest -m slurm

lint: $(INSTALLED) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(INSTALLED) ## mypy, strict, on src
	$(BIN)/mypy

doctest: $(INSTALLED) ## the examples in docstrings
	$(BIN)/python -m pytest tests/test_doctests.py

fuzz: $(INSTALLED) ## damaged files and killed runs: no crash, no other result (half an hour)
	$(BIN)/python -m tests.fuzz

bench: $(INSTALLED) ## time of the import and of the training loop, and peak memory of a large run
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/peak_memory.py

bench-large: $(INSTALLED) ## a million cells; and against scanpy and scVI (an hour or more)
	$(BIN)/python benchmarks/million.py
	$(BIN)/python benchmarks/against.py
	$(BIN)/python benchmarks/rare.py

reproduce: $(INSTALLED) ## do the methods do what they do elsewhere (an hour; resumable; needs JOJOSCL_DATA_ROOT or a network)
	$(BIN)/jojoscl -m experiment=fidelity
	$(BIN)/python -m experiments collect runs/fidelity --merge
	$(BIN)/python -m experiments fidelity

tables: $(INSTALLED) ## Table I, statistics and diagram from experiments/results/table1.csv
	$(BIN)/python -m experiments tables

figures: $(INSTALLED) ## pictures of Table I, and of its runs where runs/table1 has them
	$(BIN)/python -m experiments figures
	$(if $(wildcard runs/table1),$(BIN)/python -m experiments umaps runs/table1)

report: $(INSTALLED) ## all tables, figures and pages again from the committed results
	$(BIN)/python -m experiments rebuild

notebooks: $(INSTALLED) ## execute the notebooks in place
	$(BIN)/python notebooks/execute.py notebooks/*.ipynb

docs: $(INSTALLED) ## the documentation as a site, in site/; any warning fails
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -q -W --keep-going -c docs . site/html
	@echo "open site/html/index.html"

clean: ## remove what make and the tests made; runs/ stays
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
