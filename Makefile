# demo, test, check and bench each prepare what they need; only a Python of at least 3.11 must be there.
# Another one than the first found is chosen with: make PYTHON=/path/to/python ...

CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python)

.DELETE_ON_ERROR:
.PHONY: demo test check bench quality chaos setup clean

demo: setup
	.venv/bin/tidegate demo

# Most of the time tests wait: for brokers, sessions and clocks. So four at a time on two cores, too; each of the four
# starts a Kafka of its own, so a large machine does not start one per core.
test: setup
	.venv/bin/pytest -n 4 --cov

check: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup
	.venv/bin/python -m benchmarks

# How well normal is known: on labelled series, injected incidents and clean traffic, beside other detectors.
quality: setup
	.venv/bin/python -m benchmarks.quality

# A seeded campaign of faults against real workers and a real Kafka: make chaos MINUTES=120 SEED=7
chaos: setup
	.venv/bin/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

setup: .venv/.installed

.venv/.installed: pyproject.toml
	@for python in $(CANDIDATES); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$python"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "tidegate needs Python 3.11 or newer; tried: $(CANDIDATES)" >&2; exit 1; \
	fi; \
	if [ ! -x .venv/bin/pip ]; then \
	  echo "setting up .venv with $$("$$found" --version)"; "$$found" -m venv --clear .venv; \
	fi && \
	.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]' && \
	touch $@

clean:
	rm -rf .venv .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
