# make repro · make test · make test-fast · make ui · make serve · make app · make experiments · make lint · make bench
# (each installs what it needs)

SHELL := /bin/sh
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := src
unexport PYTHONDONTWRITEBYTECODE # each stage is a new process: without bytecode files, half of its start-up is compiling
PORT ?= 5000

.PHONY: repro test test-fast ui serve app experiments lint bench env lock

repro: env ## the whole pipeline, from source images to submission
	@python -m dvc repro
	@fakeprint leaderboard

# Three processes on two cores: tests of queues and servers wait much of their time. Lines are counted in pytest's own
# processes; stages that DVC starts in a clone are others.
test: env ## all tests, and the share of lines that run in their own processes
	@python -m slipcover --source src/fakeprint,stages --skip-covered --missing-width 60 \
	    -m pytest -n 3 --dist worksteal

test-fast: env ## without the tests marked slow: those that take 0.2 seconds or more, among them all that start processes
	@python -m pytest -n 2 --dist worksteal -m "not slow"

ui: env ## MLflow's pages: all runs with their parameters, curves and pictures
	@fakeprint ui --port $(PORT)

serve: env ## the API on 127.0.0.1:8000: predictions, and fits by a worker (settings: docs/service.md)
	@fakeprint serve

app: env ## the web app and the API that it talks to; Ctrl-C ends both
	@fakeprint app --serve

# columns that are kept: parameters that differ, and of the leaderboard the champion, accuracy and worst degraded accuracy
OTHER_COLUMNS = ^(?!Experiment|champion$$|seed$$|(run|data|prepare|augment|features|classifiers|models?|train|predict|ensembles)\.|metrics/leaderboard\.json:)|.*\.(low|high|macro_f1|log_loss|p_holm|cell|ece)$$|.*\.(before|after)\.|models\.[^.]+\.(?!worst\.).+\.accuracy$$

experiments: env ## a narrow `dvc exp show`: what differs between experiments, and each model's accuracy
	@python -m dvc exp show --only-changed --drop '$(OTHER_COLUMNS)'

lint: env
	@ruff check .
	@ruff format --check .
	@mypy

bench: env ## speed compared with peers, simulated intervals and tests: one table per script
	@python -m dvc repro --quiet
	@for script in folds knn features augmentation training prediction image_files pipeline intervals family_wise_error detection; do \
	    python -m benchmarks.$$script || exit 1; \
	done

env: .venv/.installed

# with uv, which pip first puts into .venv if it is not installed; both check every file against the hashes in the lock
.venv/.installed: requirements.lock
	@sh .ci/environment
	@touch $@

lock: env ## pin the newest versions that pyproject.toml allows, for Python 3.11 to 3.13
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --all-extras --upgrade pyproject.toml -o requirements.lock
