"""Joins one Plan with the kernels it uses: an executable or a static library, for this machine or, through zig, for another."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import struct
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ..core.errors import Error, MissingExtra, UnsupportedError
from . import toolchain as tc

ROOT = tc.source_root()
LIB = Path(__file__).resolve().parents[1] / "lib"
TARGETS = ("native", "x86_64-linux", "aarch64-linux")
KEPT = 16               # compiled libraries of one processor in the cache
TRAILER = b"ACCELEND"   # csrc/deploy/appended.h
Rows = Mapping[str, Sequence[str]]


class BuildError(Error, RuntimeError):
    """The compiler or the linker failed; the message holds what it said."""


def arch_of(target: str) -> str:
    """The processor of a target of `accelnn build`."""
    if target not in TARGETS:
        raise UnsupportedError(f"target '{target}': expected one of {', '.join(TARGETS)}")
    return tc.machine() if target == "native" else target.split("-")[0]


def zig(arch: str) -> tc.Toolchain:
    """The cross compiler of the `cross` extra: clang, musl and a linker in a wheel."""
    found = find_spec("ziglang")
    if not found or not found.submodule_search_locations:
        raise MissingExtra('static musl and cross builds need the ziglang wheel; pip install "accelnn[cross]" (or ask for --static=glibc)')
    binary = str(Path(found.submodule_search_locations[0]) / "zig")
    triple = f"{arch}-linux-musl"
    # zig turns on undefined-behaviour traps in builds it takes for debug builds, and its own -g. The rest is for size, 10 % of an int8 LeNet-5 and
    # nothing of its speed: clang's -Os still unrolls and vectorises; given at the link, -Oz and no unwind tables go for zig's musl as well.
    compact = ("-fno-unroll-loops", "-fomit-frame-pointer", "-fno-stack-protector", "-falign-functions=1", "-falign-loops=1")
    return tc.Toolchain(arch, (binary, "c++", "-target", triple, "-fno-sanitize=all", "-g0"), (*tc.ZIG_BASELINE[arch], *compact), ar=(binary, "ar"),
                        link=("-static", "-Oz", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"), small="-Oz", shared="-Oz")


def toolchain_for(target: str, static: str | None) -> tc.Toolchain | None:
    """The compiler for a target and a way to link; None: there is none, and the prebuilt runner has to do."""
    if static not in (None, "musl", "glibc"):
        raise UnsupportedError(f"static='{static}': expected 'musl' or 'glibc'")
    arch = arch_of(target)
    if target != "native" or static == "musl":
        if static == "glibc":
            raise UnsupportedError(f"--static=glibc is for the native target; {target} is linked with musl")
        return zig(arch)
    chain = tc.native()
    if static == "glibc":
        if not chain:
            raise BuildError("--static=glibc needs the system's C++ compiler and its static libc: apt-get install g++")
        return replace(chain, link=(*chain.link, "-static"))
    return chain


def cache_dir() -> Path:
    """Where compiled libraries of other targets are kept: $XDG_CACHE_HOME/accelnn, else ~/.cache/accelnn."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accelnn"


def library(chain: tc.Toolchain, ops: Iterable[str] | None = None) -> Path:
    """libaccelnn.a for a toolchain: the one beside the package for the system's compiler, else compiled once and kept in the cache. `ops`: the only
    ones that have to be in it; what they need compiles in seconds where everything takes minutes."""
    shipped = LIB / "libaccelnn.a"
    if "zig" not in Path(chain.cxx[0]).name and shipped.exists():
        return shipped
    every = [s for s in tc.sources(ROOT, chain.arch) if not s.path.endswith("deploy/runner.cpp")]
    kept = cache_dir() / "lib" / f"{chain.arch}-{tc.digest(every, ROOT, chain)}"
    name, found = "libaccelnn.a", every
    if ops is not None:
        used = families(ops)
        name = f"{hashlib.sha256(' '.join(sorted(used)).encode()).hexdigest()[:20]}.a"
        found = [s for s in every if s.room != "kernels" or family(s.path) in (*used, "")]
    kept.mkdir(parents=True, exist_ok=True)
    with open(kept / "lock", "w") as lock:      # a second build waits for the first instead of doing the same
        fcntl.flock(lock, fcntl.LOCK_EX)
        archive = kept / name
        if not archive.exists():
            objects, _ = tc.compile_all(found, ROOT, kept / "objects", chain)
            tc.archive(objects, kept / "part.a", chain.ar)
            (kept / "part.a").rename(archive)
            for old in sorted(kept.parent.glob(f"{chain.arch}-*"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
    return archive


def family(path: str) -> str:
    """The folder of kernels/ that a source is in; "" above them."""
    parts = Path(path).parts
    return parts[1] if parts[0] == "kernels" and len(parts) > 2 else ""


def families(ops: Iterable[str]) -> set[str]:
    """The folders that have these ops, and those whose headers they include, and so on."""
    tables = {p.stem: p.parent.name for p in (ROOT / "kernels").glob("*/*.inc")}
    waiting, found = [tables[op] for op in ops], set[str]()
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            text = "".join(p.read_text() for p in (ROOT / "kernels" / one).iterdir() if p.suffix in (".h", ".cpp"))
            waiting += [f for f in re.findall(r'#include "(\w+)/', text) if (ROOT / "kernels" / f).is_dir()]
    return found


def tables(rows: Rows, flows: bool = False) -> str:
    """The list of ops of one program, each with just these rows: whatever no row reaches, the linker drops; branches and loops unless the Plan has
    `flows`."""
    names = "".join(f"extern const Row row_{row};\n" for used in rows.values() for row in used)
    ops = "".join(f"extern const Op op_{op};\n"
                  f"static const Row* const {op}_rows[] = {{{', '.join(f'&row_{row}' for row in used)}}};\n"
                  f"static const Table {op}_table = {{&op_{op}, {op}_rows, {len(used)}}};\n" for op, used in rows.items())
    control = "extern const char* const accelnn_model_flow;\nconst char* const accelnn_model_flow = &accelnn_flow;\n"
    return (f'#include "engine/flow.h"\n#include "engine/linked.h"\nnamespace accelnn {{\n{names}{ops}}}\n'
            f"extern const accelnn::Table* const accelnn_model_tables[] = {{{', '.join(f'&accelnn::{op}_table' for op in rows)}}};\n"
            f"extern const int accelnn_n_model_tables = {len(rows)};\n"
            f"{control if flows else ''}")


def link(plan: bytes, rows: Rows, out: Path, chain: tc.Toolchain, lib: bool = False, flows: bool = False) -> None:
    """Writes an executable, or with `lib` a static library, that holds the Plan and the rows (op -> names, best first)."""
    archive = library(chain, rows)
    with tempfile.TemporaryDirectory(prefix="accelnn-") as folder:
        work = Path(folder)
        (work / "plan.bin").write_bytes(plan)
        (work / "plan.S").write_text(tc.incbin("accelnn_model_begin", "accelnn_model_end", work / "plan.bin"))
        (work / "tables.cpp").write_text(tables(rows, flows))
        objects = [str(work / "plan.o"), str(work / "tables.o")]
        generated = tc.Source("tables.cpp", "deploy", "base")
        _run([*chain.cxx, "-c", str(work / "plan.S"), "-o", objects[0]])
        _run([*chain.cxx, *tc.flags(generated, chain), *tc.includes(ROOT), "-fPIC", "-c", str(work / "tables.cpp"), "-o", objects[1]])
        if lib:
            _partial_link(objects, archive, out, work, chain)
        else:
            # -no-pie: 4 KB of relocations less, which also need not be done at every start.
            _run([*as_c(chain.cxx), *chain.link, "-no-pie", *objects, str(archive), "-o", str(out), "-Wl,--gc-sections", "-s", "-lm", "-pthread"])


def _run(command: list[str]) -> None:
    try:
        tc.run(command)
    except RuntimeError as error:
        raise BuildError(str(error)) from error
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}; CXX names the compiler, --prebuilt does without") from error


def as_c(cxx: tuple[str, ...]) -> tuple[str, ...]:
    """The same compiler driving a link as C: nothing here needs libstdc++, and zig would first compile a whole libc++."""
    return (cxx[0], "cc", *cxx[2:]) if cxx[1:2] == ("c++",) else cxx


def _partial_link(objects: list[str], archive: Path, made: Path, work: Path, chain: tc.Toolchain) -> None:
    # One relocatable object with what the C functions reach; sections stay apart, so that the user's own link can drop more.
    header = (ROOT / "csrc/engine/accelnn.h").read_text()
    functions = sorted(set(re.findall(r"\b(accelnn_\w+)\(", header)))
    linker = [chain.cxx[0], "ld.lld"] if chain.cxx[1:2] == ("c++",) else [shutil.which("ld") or "ld"]
    _run([*linker, "-r", "--gc-sections", *(f"-u{name}" for name in functions), *objects, str(archive), "-o", str(work / "net.o")])
    tc.archive([work / "net.o"], made, chain.ar)


def link_harness(library_of_net: Path, out: Path, chain: tc.Toolchain) -> None:
    """An executable of a library that link() made, through nothing but its C API: to verify it."""
    harness = str(ROOT / "csrc/deploy/harness.c")
    _run([*as_c(chain.cxx), *chain.link, *tc.includes(ROOT), "-O1", "-x", "c++" if as_c(chain.cxx) == chain.cxx else "c", harness, "-x", "none",
          str(library_of_net), "-o", str(out), "-Wl,--gc-sections", "-lm", "-pthread"])


def append_to_runner(plan: bytes, out: Path) -> None:
    """Without a compiler: the prebuilt runner, which has every kernel, with the Plan behind it."""
    runner = LIB / "runner"
    if not runner.exists():
        raise BuildError(f"no C++ compiler (g++ or clang++), and no prebuilt runner at {runner}: install g++ or reinstall accelnn")
    program = runner.read_bytes()
    offset = -(-len(program) // 64) * 64
    out.write_bytes(program.ljust(offset, b"\0") + plan + struct.pack("<8sQQ", TRAILER, offset, len(plan)))
    out.chmod(0o755)
