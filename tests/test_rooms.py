"""The walls of the house (DESIGN section 1): who may include and import whom, what may not be linked, how long a line and a file may be."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from accelnn import _C
from accelnn.deploy import toolchain as tc

from .conftest import need_module, need_program

ROOT = Path(__file__).resolve().parents[1]
CPP = (".h", ".cpp", ".cu", ".inc")
BARE_ROOMS = ("csrc/runtime", "csrc/engine", "csrc/deploy", "kernels")
# What each room may include besides its own files: runtime's headers go by their bare names, the others by room or family.
MAY_INCLUDE = {"csrc/runtime": (), "kernels": ("runtime",), "csrc/engine": ("runtime", "kernels"), "csrc/deploy": ("runtime", "engine"),
               "csrc/bindings": ("runtime", "kernels", "engine")}  # fmt: skip
# These need libstdc++ at run time, or pull in what does. <atomic>, <utility>, <new> and the C headers are templates and declarations alone.
NEEDS_LIBSTDCPP = re.compile(r"#include <(iostream|ostream|istream|sstream|fstream|iomanip|string|string_view|vector|map|set|unordered_\w+|list|deque|"
                             r"functional|memory|thread|mutex|condition_variable|future|shared_mutex|stdexcept|exception|algorithm|regex|locale)>")  # fmt: skip


def files(*folders: str, suffixes: tuple[str, ...] = CPP) -> list[Path]:
    return [p for f in folders for p in sorted((ROOT / f).rglob("*")) if p.suffix in suffixes]


def lines(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(path.read_text().splitlines(), 1))


def hits(paths: list[Path], pattern: str | re.Pattern[str]) -> list[str]:
    """path:line of every match outside comments."""
    found = re.compile(pattern)
    return [f"{p.relative_to(ROOT)}:{n}: {text.strip()}" for p in paths for n, text in lines(p) if found.search(text.split("//")[0])]


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "kernels" if parts[0] == "kernels" else "/".join(parts[:2])


def included_room(name: str, path: Path) -> str:
    """Which room a quoted include leads to, as the include paths of the toolchain find it."""
    places = [path.parent, ROOT / "csrc/runtime", ROOT / "csrc", ROOT / "kernels"]
    found = next((p / name for p in places if (p / name).is_file()), None)
    assert found is not None, f"{path}: {name} is in none of the include folders"
    return room_of(found.resolve())


def test_only_bindings_know_python() -> None:
    assert not hits(files("csrc/runtime", "csrc/engine", "csrc/deploy", "kernels"), r"#include\s*[<\"](pybind11/|Python\.h|numpy/)")


def test_nothing_knows_libtorch() -> None:
    assert not hits(files("csrc", "kernels"), r"#include\s*[<\"](torch|ATen|c10|caffe2)/")


def test_no_room_but_bindings_needs_libstdcpp() -> None:
    assert not hits(files(*BARE_ROOMS), NEEDS_LIBSTDCPP)


def test_no_room_but_bindings_throws() -> None:
    assert not hits(files(*BARE_ROOMS), r"\b(throw|try|catch|dynamic_cast|typeid)\b\s*[({<]")


def test_includes_go_one_way() -> None:
    wrong = []
    for path in files("csrc", "kernels"):
        here = room_of(path)
        allowed = {here, *(f"csrc/{r}" if r != "kernels" else r for r in MAY_INCLUDE[here])}
        for n, text in lines(path):
            # One expansion through a macro: define_op.h and attr_slots.h include the table that the kernel names.
            include = re.match(r'\s*#include "([^"]+)"', text)
            if include and included_room(include[1], path) not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{n}: {text}")
    assert not wrong


def test_kernel_bodies_call_no_library_templates() -> None:
    """std::min compiled for AVX-512 is a weak symbol: the linker would give it to everybody. C functions (std::memcpy) are none; ref.cpp is never
    compiled for a wider ISA."""
    bodies = [p for p in files("kernels") if p.stem != "ref"]
    assert not hits(bodies, r"\bstd::(?!mem(cpy|set|move|cmp)\b|u?int\d+_t\b|size_t\b|integer_sequence\b|make_integer_sequence\b|index_sequence\b|atomic)")
    assert not hits(bodies, r"\b(expf?|tanhf?|erff?|logf?|powf?|sinf?|cosf?)\s*\(\s*(double|float)\b"), "transcendental functions are those of vec.h"


def test_lines_and_files_stay_short() -> None:
    everything = [*files("csrc", "kernels", "tests", "examples"), *files("accelnn", "tests", "examples", "benchmarks", suffixes=(".py", ".pyi")),
                  *(ROOT / f for f in ("setup.py", "Makefile"))]  # fmt: skip
    long_lines = [f"{p.relative_to(ROOT)}:{n}: {len(t)} characters" for p in everything for n, t in lines(p) if len(t) > 160]
    assert not long_lines, "at most 160 characters"
    counts = {p.relative_to(ROOT).as_posix(): len(lines(p)) for p in everything}
    too_long = {name: n for name, n in counts.items() if n > 450}
    assert len(too_long) <= len(counts) // 10, f"90 % of the files have at most 450 lines; these do not: {too_long}"
    assert len(lines(ROOT / "setup.py")) < 150


def test_every_row_is_defined_once() -> None:
    """accelnn::<row>(accelnn::Call const&), mangled, once in the archive: a row is a function and not a line of a table alone."""
    for op in _C.ops():
        names = [row["name"] for row in op["rows"]]
        assert len(names) == len(set(names)), f"{op['name']} lists a row twice"
        assert all(re.fullmatch(rf"{op['name']}_{row['dtype']}_([a-z]+_)?(x86_\w+|arm_\w+|cuda_\w+|gpu_\w+|base|ref)", row["name"]) for row in op["rows"])
    symbols = Counter(name for _, kind, name in archive_symbols() if kind == "T")
    missing = [r["name"] for op in _C.ops() for r in op["rows"]
               if r["device"] == "cpu" and not tc.is_foreign(r["name"], tc.machine())
               and symbols[f"_ZN7accelnn{len(r['name'])}{r['name']}ERKNS_4CallE"] != 1]  # fmt: skip
    assert not missing, "every row is exactly one function of libaccelnn.a"


def test_every_table_is_listed() -> None:
    """A table file without its line in ops.inc would never be seen by anyone. Shared pieces (attributes.inc, window.inc) hold no rows."""
    listed = re.findall(r"^OP\((\w+)\)", (ROOT / "kernels/ops.inc").read_text(), re.M)
    assert len(listed) == len(set(listed))
    tables = {p.stem for p in (ROOT / "kernels").glob("*/*.inc") if "ROW(" in p.read_text() or "EVERY_DTYPE(" in p.read_text()}
    assert tables == set(listed)
    assert [op["name"] for op in _C.ops()] == listed


def test_a_contract_header_states_the_formula() -> None:
    """Every op has a header that begins with its contract; a gradient op may share its family's."""
    for table in sorted((ROOT / "kernels").glob("*/*.inc")):
        headers = [p for p in table.parent.glob("*.h") if p.read_text().startswith("// ") and re.search(rf"\b{table.stem}\b", p.read_text())]
        if table.stem in {op["name"] for op in _C.ops()}:
            assert headers, f"no header of {table.parent.name} states the contract of {table.stem}"


def test_suffix_decides_the_target() -> None:
    found = tc.sources(ROOT, "x86_64")
    for source in found:
        stem = Path(source.path).stem
        assert source.target == (stem if stem in tc.SUFFIX_FLAGS else "base")
    assert not [s for s in tc.sources(ROOT, "aarch64") if "x86" in s.path]
    for flags in (*tc.ROOM_FLAGS.values(), *tc.SUFFIX_FLAGS.values(), tc.COMMON):
        assert not any("native" in f or f in ("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-fopenmp") for f in flags)
    assert "-ffp-contract=off" in tc.COMMON


def archive_symbols() -> list[tuple[str, str, str]]:
    """(member, kind, symbol) of libaccelnn.a."""
    archive = ROOT / "accelnn/lib/libaccelnn.a"
    if not archive.exists():
        pytest.skip("tests run against an installed package without libaccelnn.a beside the sources")
    out = subprocess.run([need_program("nm"), "-A", str(archive)], capture_output=True, text=True, check=True).stdout
    rows = []
    for text in out.splitlines():
        place, _, rest = text.partition(".o:")
        fields = rest.split()
        rows.append((place.rpartition(":")[2].removesuffix(".cpp"), fields[-2], fields[-1]))
    return rows


def test_the_archive_needs_no_libstdcpp() -> None:
    forbidden = re.compile(r"_Zn[wa]|_Zd[la]|_ZSt|_ZNSt|_ZNKSt|__cxa_(?!atexit|finalize)|_Unwind|__gxx_|__dynamic_cast")
    assert not sorted({name for _, kind, name in archive_symbols() if kind == "U" and forbidden.match(name)})


def test_wide_objects_share_no_weak_symbol() -> None:
    """A weak function in an AVX-512 object whose name does not say so could be the copy that the linker keeps: an illegal instruction elsewhere."""
    wrong = [f"{member}: {name}" for member, kind, name in archive_symbols() if member.startswith(("x86_", "arm_")) and kind in "WVu" and member not in name]
    assert not wrong


def test_python_rooms() -> None:
    """The import-linter contracts of pyproject.toml."""
    need_module("importlinter")
    done = subprocess.run([sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache", "--no-logo"],
                          capture_output=True, text=True, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["mypy"]], ids=["ruff", "mypy"])
def test_habits(command: list[str], tmp_path: Path) -> None:
    need_module(command[0])
    extra = ["--cache-dir", str(tmp_path)] if command[0] == "ruff" else []
    done = subprocess.run([sys.executable, "-m", *command, *extra], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_generated_is_committed() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run([need_program("git"), "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.splitlines()
    generated = re.compile(r"\.(so|o|a|pyc|accel|whl|fatbin|ptx|cubin)$|^(build|dist|out)/|\.egg-info/")
    assert not [f for f in listing if generated.search(f) and not f.startswith("tests/fuzz/corpus/")]


def test_clang_format() -> None:
    """The C++ has the form that .clang-format says."""
    need_module("clang_format")
    files = [str(p) for room in ("csrc", "kernels") for p in sorted((ROOT / room).rglob("*")) if p.suffix in (".cpp", ".h")]
    done = subprocess.run([str(Path(sys.executable).with_name("clang-format")), "--dry-run", "--Werror", *files], capture_output=True, text=True, cwd=ROOT)
    assert files and done.returncode == 0, done.stderr[:2000]
