"""The build: what is stale is compiled, nothing else; and the flags that the numbers depend on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from accelnn.deploy import toolchain as tc

ROOT = Path(__file__).resolve().parents[1]
NEEDS_COMPILER = pytest.mark.skipif(tc.compiler() is None, reason="needs a C++ compiler")


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "csrc/runtime").mkdir(parents=True)
    (tmp_path / "kernels/toy").mkdir(parents=True)
    (tmp_path / "csrc/runtime/a.h").write_text("constexpr int answer = 42;\n")
    (tmp_path / "csrc/runtime/a.cpp").write_text('#include "a.h"\nint a() { return answer; }\n')
    (tmp_path / "kernels/toy/x86_avx2.cpp").write_text("int b() { return 1; }\n")
    return tmp_path


@NEEDS_COMPILER
def test_only_what_is_stale(checkout):
    def build() -> int:
        objects, compiled = tc.compile_all(tc.sources(checkout, tc.machine()), checkout, checkout / "out", tc.native())
        assert all(o.exists() for o in objects)
        return compiled

    everything = len(tc.sources(checkout, tc.machine()))
    assert build() == everything
    assert build() == 0
    time.sleep(0.02)
    (checkout / "csrc/runtime/a.h").write_text("constexpr int answer = 43;\n")
    assert build() == 1                              # through the header
    next((checkout / "out").rglob("a.cpp.o")).unlink()
    assert build() == 1
    (checkout / "csrc/runtime/a.h").unlink()
    with pytest.raises(RuntimeError, match=r"a\.h"):
        build()


@NEEDS_COMPILER
def test_new_flags_make_objects_stale(checkout):
    found = tc.sources(checkout, tc.machine(), ("runtime",))
    assert tc.compile_all(found, checkout, checkout / "out", tc.native())[1] == 1
    assert tc.compile_all(found, checkout, checkout / "out", tc.native(), {"runtime": ["-DX=1"]})[1] == 1
    assert tc.compile_all(found, checkout, checkout / "out", tc.native(), {"runtime": ["-DX=1"]})[1] == 0


@NEEDS_COMPILER
def test_failures_can_be_collected(checkout):
    (checkout / "csrc/runtime/broken.cpp").write_text("no C++\n")
    failed = []
    found = tc.sources(checkout, tc.machine(), ("runtime",))
    objects, _ = tc.compile_all(found, checkout, checkout / "out", tc.native(), None, lambda s, e: failed.append(s.path))
    assert failed == ["csrc/runtime/broken.cpp"] and len(objects) == 1


def test_flags():
    chain = tc.Toolchain("x86_64", ("g++",), tuple(tc.BASELINE["x86_64"]))
    for source in tc.sources(ROOT if (ROOT / "csrc").exists() else tc.source_root(), "x86_64", (*tc.LIBRARY, "bindings")):
        flags = tc.flags(source, chain)
        assert "-ffp-contract=off" in flags and "-march=native" not in flags and "-ffast-math" not in flags
        assert ("-fno-exceptions" in flags) == (source.room != "bindings")
        assert ("-mavx512f" in flags) == (source.target in ("x86_avx512", "x86_vnni", "x86_bf16", "x86_amx"))
        assert f"-DACCELNN_TARGET={source.target}" in flags


def test_another_processor_compiles_no_x86():
    assert not [s for s in tc.sources(tc.source_root(), "aarch64") if "x86" in s.path]
    assert not [s for s in tc.sources(tc.source_root(), "x86_64") if "arm" in s.path]


@pytest.mark.parametrize(("wish", "found"), [("0", "None"), ("2", "expected auto, 0 or 1"), ("1", "nvcc")])
def test_wish_for_cuda(wish, found, tmp_path):
    code = "from accelnn.deploy.toolchain import find_nvcc; print(find_nvcc())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env={"PATH": "/nowhere", "CUDA_HOME": "/nowhere", "ACCELNN_CUDA": wish, "PYTHONPATH": str(Path(tc.__file__).parents[2])})
    assert found in done.stdout + done.stderr
    assert done.returncode == (0 if wish == "0" or "/nvcc" in done.stdout else 1)
