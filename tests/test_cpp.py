"""The C++ programs of tests/cpp under AddressSanitizer + UBSan and under ThreadSanitizer; a short replay of the fuzz targets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from accelnn.deploy import toolchain

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("runtime", "text", "reader", "executor", "flow", "npy", "amx")
SANITIZERS = ("address,undefined", "thread")
DEPLOY = ("csrc/deploy/npy.cpp", "csrc/deploy/appended.cpp")     # without main.cpp


def _flags(sanitizer: str) -> list[str]:
    base = toolchain.BASELINE.get(toolchain.machine(), [])
    return [*toolchain.COMMON, "-fno-threadsafe-statics", *base, "-DACCELNN_TARGET=base", "-g", "-O1", f"-fsanitize={sanitizer}",
            "-fno-sanitize-recover=all", "-Werror", *toolchain.includes(ROOT), f"-I{ROOT / 'tests/cpp'}"]


def _compiler() -> list[str]:
    compiler = toolchain.compiler()
    if compiler is None:
        pytest.skip("no C++ compiler")
    return compiler


@pytest.fixture(scope="module", params=SANITIZERS)
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The sanitizer, and runtime + engine + deploy compiled with it."""
    compiler, sanitizer = _compiler(), request.param
    folder = tmp_path_factory.mktemp("cpp")
    probe = folder / "probe.cpp"
    probe.write_text("int main() { return 0; }\n")
    built = subprocess.run([*compiler, f"-fsanitize={sanitizer}", str(probe), "-o", str(folder / "probe")], capture_output=True, text=True)
    if built.returncode or subprocess.run([folder / "probe"], capture_output=True).returncode:
        pytest.skip(f"{compiler[0]} has no working -fsanitize={sanitizer}")
    paths = [s.path for s in toolchain.sources(ROOT, toolchain.machine(), ("runtime", "engine"))] + list(DEPLOY)
    outputs = [str(folder / (p.replace("/", "_") + ".o")) for p in paths]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda po: toolchain.run([*compiler, *_flags(sanitizer), "-c", str(ROOT / po[0]), "-o", po[1]]), zip(paths, outputs)))
    return sanitizer, outputs


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, objects: tuple[str, list[str]], tmp_path: Path) -> None:
    sanitizer, outputs = objects
    binary = tmp_path / program
    toolchain.run([*_compiler(), *_flags(sanitizer), str(ROOT / f"tests/cpp/test_{program}.cpp"), *outputs, "-o", str(binary), "-lpthread"])
    arguments = ["tsan"] if sanitizer == "thread" else []
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=300, env={**os.environ, "ACCELNN_NUM_THREADS": "4"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks passed" in done.stdout


def test_texts_use_what_format_knows() -> None:
    """csrc/runtime/text.cpp stops at a conversion that it does not know; the compiler's check of printf's lets all of C's through."""
    known = re.compile(r"%(%|[-0]*(\*|\d+)?(c|(ll?|z)?[du]|(\.(\*|\d+))?[sfg]))")
    literal = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
    rooms = [ROOT / room for room in ("csrc/runtime", "csrc/engine", "csrc/deploy", "kernels")]
    paths = [p for room in rooms for p in sorted(room.rglob("*")) if p.suffix in (".cpp", ".h", ".inc")]
    texts = [(p, t) for p in paths for line in p.read_text().splitlines() for t in literal.findall(line.split("//")[0])
             if "asm" not in line and not line.lstrip().startswith(("#include", "*"))]
    wrong = [f"{p.relative_to(ROOT)}: {t}" for p, t in texts if "%" in known.sub("", t)]
    assert len(texts) > 500 and not wrong, wrong


def test_fuzz_targets(tmp_path: Path) -> None:
    """Five seconds of libFuzzer a target where clang++ has it; else the seeds and past findings, replayed."""
    _compiler()
    if not (shutil.which("clang++") or shutil.which("clang++-14") or shutil.which("g++")):
        pytest.skip("neither clang++ nor g++")
    done = subprocess.run([ROOT / "tests/fuzz/run.sh", "5", tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
