# make demo       set up, train on the sample, predict it, say where the report is
# make test       set up with the test tools, then lint, types and tests
# make notebooks  run the notebooks on the sample, and keep them with what they show
# All may be run from any state; what is done already is not done again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAMPLE ?= 240# clips that the demo renders, trains on and predicts
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check notebooks clean lock

help:
	@sed -n 's/^# make/make/p' $(firstword $(MAKEFILE_LIST))

# A stamp holds the checksum of what was installed: a changed lock installs again, a cut-off one starts again.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3,11) <= sys.version_info < (3,14) else \
	  f"error: Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing requirements.txt into $(VENV) (about 6.5 GB the first time)"
	@$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.ready-test: requirements-test.txt $(VENV)/.ready
	@echo "installing the test tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet -r requirements-test.txt
	@touch $@

demo: $(VENV)/.ready
	@echo "training on the rendered sample"
	@$(BIN)/python train.py data.sample_clips=$(SAMPLE)
	@echo "predicting the sample's test clips"
	@$(BIN)/python predict.py ckpt=runs/train/latest/checkpoints/best.ckpt \
	  template=cache/sample$(filter-out _240,_$(SAMPLE))/submission_format.csv out=runs/predict/demo overwrite=true
	@echo "the training report: runs/train/latest/report.html"

test: $(VENV)/.ready-test
	@$(MAKE) --no-print-directory check

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

notebooks: $(VENV)/.ready-test
	@$(BIN)/python scripts/notebooks.py

lock:
	@$(BIN)/python -m pip install --quiet uv
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/lock.sh

clean:
	rm -rf $(VENV) cache .pytest_cache .ruff_cache
