# Two targets matter: `make demo` shows vsearch at work, `make test` checks it.  Both install what they need.

PY := .venv/bin/python
RUN := .venv/.installed
TEST := .venv/.installed-test
CHECKED := vsearch tests tools benchmarks

.PHONY: help demo test lint bench clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

$(RUN): pyproject.toml tools/bootstrap.sh
	@bash tools/bootstrap.sh run
	@touch $@

$(TEST): pyproject.toml tools/bootstrap.sh
	@bash tools/bootstrap.sh test
	@touch $(RUN) $@

demo: $(RUN) ## gather pictures, index them, ask three questions, write demo.html
	@$(PY) tools/demo.py

lint: $(TEST) ## ruff and mypy
	$(PY) -m ruff check $(CHECKED)
	$(PY) -m ruff format --check $(CHECKED)
	$(PY) -m mypy vsearch

# Two processes for two cores: threads beside them would only wait for each other.  Hundreds of tests start the command:
# its compiled modules are kept, whatever the environment says.
test: lint ## ruff, mypy and the whole test suite
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

bench: $(RUN) ## every benchmark, short form, and the page made of their results
	$(PY) benchmarks/run.py ingest --quick
	$(PY) benchmarks/run.py report

clean: ## what can be made again, but for .venv and your photos
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.html
	find vsearch tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
