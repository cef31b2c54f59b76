# Two commands: `make run` and `make test`. Everything lives in .venv and outputs/.
PYTHON  ?= python3
PROFILE ?= tiny
VENV    := .venv
BIN     := $(VENV)/bin
ARGS    ?=
HEAVY   ?= tests/heavy --ignore=tests/heavy/test_real_images.py
PEERS   := $(VENV)-peers
MEASURED_RUN := $(or $(JWVL_OUTPUTS),$(CURDIR)/outputs)/performance
MEASURED = JWVL_RECORDS="$(MEASURED_RUN)/records" OMP_NUM_THREADS=1

COMPILED = import importlib, logging, pkgutil, jwvl_lib; logging.disable(); \
	[importlib.import_module(f"jwvl_lib.{m.name}") for m in pkgutil.iter_modules(jwvl_lib.__path__)]

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # where it is set, each of nine kernels would compile what it imports anew: 80 s of the chain
.NOTPARALLEL:  # what is measured runs alone, one after another
.PHONY: help run test test-fast test-heavy test-faults performance performance-chain performance-heavy performance-real performance-faults performance-page peers nb-test nb-clean nb-contract tiny-base flare-rates flare-model recipes lab voila chat lint freeze

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) -V) is too old, Python 3.11 or newer is needed; run make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[test]'
	@$(BIN)/python -c '$(COMPILED)'  # what the notebooks import, not all of site-packages as pip would
	@touch $@

run: $(VENV)/.installed  ## build the environment and run the whole chain (PROFILE=tiny, ARGS="--from 04 --force")
	$(BIN)/python -m jwvl_lib.run -f params/$(PROFILE).yaml $(ARGS)

test: $(VENV)/.installed  ## all tests: notebooks under nbval in the tiny profile beside the rest, then its figures against the bars
	bash tests/run_all.sh

test-fast: $(VENV)/.installed  ## unit and property tests only
	$(BIN)/python -m pytest -q -m "not slow and not browser and not chain"

test-heavy: $(VENV)/.installed  ## the bars that take minutes each (tests/heavy), one after another
	$(BIN)/python -m pytest -q -s tests/heavy -o addopts="-ra --strict-markers"

test-faults: $(VENV)/.installed  ## blows to every stage: kills, full disk, torn files, clock, two runs, storms, fuzz
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/faults -o addopts="-ra --strict-markers"

# A bar that falls short fails its test and is recorded all the same, so what follows runs. Parts by hand, the chain first:
# make performance-chain performance-heavy HEAVY=tests/heavy/test_limits.py performance-page
performance: performance-chain performance-heavy performance-real performance-faults performance-page  ## all of notebook 08 measured in one run, beside the peers (hours)

performance-chain: $(VENV)/.installed
	$(BIN)/python -m jwvl_lib.run -f params/tiny.yaml -p run_id performance --to 07

performance-heavy: $(VENV)/.installed
	-[ -n "$$JWVL_PEERS_PYTHON" ] || $(MAKE) peers  # without it the rows beside TRL stay "not measured"
	-$(MEASURED) JWVL_TESTED_RUN="$(MEASURED_RUN)" $(BIN)/python -m pytest -q -s $(HEAVY) -o addopts="-ra --strict-markers"

performance-real: $(VENV)/.installed
	-$(MEASURED) $(BIN)/python -m pytest -q -s tests/heavy/test_real_images.py -o addopts="-ra --strict-markers"

performance-faults: $(VENV)/.installed
	-$(MEASURED) $(MAKE) test-faults

performance-page: $(VENV)/.installed
	$(BIN)/python -m jwvl_lib.run -f params/tiny.yaml -p run_id performance -p records_dir "$(MEASURED_RUN)/records" --from 08 --to 08

peers: $(PEERS)/.installed $(PEERS)-swift/.installed  ## TRL and ms-swift, beside which tests/heavy/test_training_speed.py measures

$(PEERS)/.installed: constraints.txt | $(VENV)/.installed
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt torch transformers peft accelerate datasets pillow
	$(PEERS)/bin/python -m pip install -q --no-compile --disable-pip-version-check --no-deps trl==1.16.0
	@touch $@

$(PEERS)-swift/.installed: constraints.txt  # it wants an older transformers, and torchvision for its images
	$(PYTHON) -m venv $(PEERS)-swift
	$(PEERS)-swift/bin/python -m pip install -q --no-compile --disable-pip-version-check $$(grep ^torch== constraints.txt) ms-swift==4.6.0 qwen_vl_utils decord
	$(PEERS)-swift/bin/python -m pip install -q --no-compile --disable-pip-version-check --no-deps torchvision==0.28.0
	@touch $@

nb-test: $(VENV)/.installed  ## the notebooks alone under nbval, in a temporary outputs folder
	bash tests/run_all.sh notebooks

nb-clean: $(VENV)/.installed  ## strip outputs but those of contract cells
	$(BIN)/python tests/nb_clean.py

nb-contract: $(VENV)/.installed  ## take the contract cells' outputs from the last tiny run (after `make run`)
	$(BIN)/python tests/nb_clean.py --from outputs/tiny

tiny-base: $(VENV)/.installed  ## pretrain the tiny base again (64 minutes of two cores) and replace models/tiny_base
	$(BIN)/python -m jwvl_lib.run -f params/tiny.yaml -p rebuild true -p run_id tiny-base --from 00 --to 00 --force

flare-rates: $(VENV)/.installed  ## derive jwvl_lib/data/flare_rates.json from an archive of SRS and event texts (ARCHIVE=folder)
	$(BIN)/python -m jwvl_lib.report --flare-rates $(ARCHIVE)

flare-model: $(VENV)/.installed  ## train and verify jwvl_lib/data/flare_model.json (ARCHIVE=folder, UNSEEN=folder of later years)
	$(BIN)/python -m jwvl_lib.flare_training $(ARCHIVE) $(UNSEEN)

recipes: $(VENV)/.installed  ## train and measure the recipes of params/recipes.yaml on the corpus of a finished run (PROFILE=tiny, ARGS="--only qlora,full")
	$(BIN)/python -m jwvl_lib.recipes -f params/$(PROFILE).yaml $(ARGS)

lab: $(VENV)/.installed  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 notebooks

voila: $(VENV)/.installed  ## the review panel as a page
	$(BIN)/voila --Voila.ip=127.0.0.1 notebooks/03_review.ipynb

chat: $(VENV)/.installed  ## the chat about the day as a page (after `make run`)
	$(BIN)/voila --Voila.ip=127.0.0.1 notebooks/07_chat.ipynb

lint: $(VENV)/.installed  ## ruff and the notebook check
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python tests/nb_clean.py --check

freeze: $(VENV)/.installed  ## write the installed versions to constraints.txt
	(echo '# Tested versions: make installs with these (pip install -c constraints.txt). Regenerate with make freeze.'; \
	 $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//') > constraints.txt
