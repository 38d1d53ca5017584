# Everything sets itself up: a virtual environment in .venv and the packages of constraints.txt. No root needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := 2.13.0

.PHONY: demo test check setup planner hearing clean

demo: setup  ## draw a photo library, start the service, speak an errand to it (ARGS=--once ends after it)
	$(BIN)/assistant demo $(ARGS)

# Three processes: those that fork and kill stay apart from those that hold XLA's threads and gigabytes.
test: setup check  ## style, types, import directions, tests
	$(BIN)/python -m pytest tests/plugin tests/planning tests/training tests/llm tests/tools tests/demo $(ARGS)
	$(BIN)/python -m pytest tests/execution tests/speech $(ARGS)
	$(BIN)/python -m pytest tests/e2e tests/server tests/test_assistant.py tests/web tests/cli $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(STAMP)

# --no-deps: constraints.txt is complete, and openai-whisper would pull in triton (1 GB), which nothing here uses.
# PyTorch's CPU build lies on PyTorch's own index; the one on PyPI needs gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import torch; assert torch.__version__.startswith("$(TORCH)")' 2>/dev/null \
		|| $(BIN)/pip install -q --no-deps torch==$(TORCH)+cpu 2>/dev/null \
		|| $(BIN)/pip install -q --no-deps torch==$(TORCH) --index-url https://download.pytorch.org/whl/cpu
	$(BIN)/pip install -q --no-deps -r constraints.txt
	$(BIN)/pip install -q --no-deps -e .
	touch $(STAMP)

# A step's gigabytes are kept from one step to the next, in large pages: the kernel would clear them anew each time.
MEMORY := GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=32000000000:glibc.malloc.top_pad=500000000:glibc.malloc.arena_max=1

planner: setup  ## train the planner from nothing, export it, fit its confidence and evaluate it
	$(MEMORY) $(BIN)/python -m assistant.training.loop --run .work/planner
	$(BIN)/python -m assistant.training.export --run .work/planner --to assistant/models/planner
	$(BIN)/python -m assistant.training.evaluate --model assistant/models/planner --calibrate --out .work/planner/evaluation

hearing: setup  ## train the offline recogniser's second model, from the planner's first layers
	$(MEMORY) $(BIN)/python -m assistant.training.hearing --run .work/hearing

clean:
	rm -rf $(VENV) .work .demo
