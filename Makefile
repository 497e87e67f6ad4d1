# Two commands do everything: `make demo` and `make test`.
VENV ?= .venv
PY := $(VENV)/bin/python
# Bytecode is compiled when first used: of most that is installed, never.
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: demo test torture check bench docs results clean
.DEFAULT_GOAL := demo

# Stamps that are renewed when the dependencies change: what users need, and what developers need beside it.
$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps torch-fidelity lpips  # for tests: their torchvision does not go with the CPU's torch
	@touch $@

demo: $(VENV)/.installed  ## train on bundled digits, evaluate, draw: a minute and a half, with installing
	rm -rf runs/demo
	$(VENV)/bin/vaelab train digits-vamp --run runs/demo
	$(VENV)/bin/vaelab evaluate runs/demo
	$(VENV)/bin/vaelab figures runs/demo
	@echo "in a browser, look at runs/demo/report.html; every picture is in runs/demo/figures"

# Two processes with one thread each, since more threads than cores would fight; each keeps to files that lie together, so that
# runs which their tests share are trained once, until the other has nothing left to do.
test: $(VENV)/.developing  ## all tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal

torture: $(VENV)/.developing  ## a hundred kills, ten thousand mutated recipes, a thousand hostile files: half an hour
	cd tests && ../$(PY) -m torture

check: $(VENV)/.developing  ## lint, format, types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

bench: $(VENV)/.developing  ## speed beside the peers', as ratios
	$(PY) -c 'import pythae' 2>/dev/null || $(PIP) -e '.[bench]'
	$(PY) benchmarks/training.py
	$(PY) benchmarks/startup.py
	cd benchmarks && for name in likelihood quality neighbours mixture priors research progressive tracking; do ../$(PY) $$name.py; done

docs: $(VENV)/.developing  ## the tables of docs/parts.md and docs/recipes.md
	$(PY) tools/docs.py

results: $(VENV)/.developing  ## every MNIST recipe at a short budget, measured: a table of docs/papers.md
	$(PY) tools/results.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
