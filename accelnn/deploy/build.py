"""A model becomes a file that needs neither Python nor accelnn: an executable, or a library for the user's own program."""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import _C
from ..core.errors import FormatError, UnsupportedError
from ..passes.plan import HEADER, SECTION, container
from . import link, toolchain

# csrc/engine/plan.h
MAGIC = b"ACCELPLN"
CALL, VALUE = struct.Struct("<10I"), struct.Struct("<IBBH136x")
STRINGS, VALUES, OPERANDS, CALLS, WEIGHTS, FLOWS, NOT_FOR_THE_ENGINE = 1, 5, 7, 8, 11, 12, 64
ABSENT = 0xFFFFFFFF


@dataclass(frozen=True)
class Built:
    """What was built, in bytes and kernels."""

    path: str
    target: str
    linked: str                      # dynamic, musl, glibc, prebuilt, library
    bytes: int
    weight_bytes: int
    kernels: dict[str, list[str]]    # op -> rows
    verified: str | None = None      # how the artefact compared with its source, or None: not asked

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = sum(map(len, self.kernels.values()))
        text = (f"{self.path}: {self.bytes:,} bytes, {self.weight_bytes:,} of them weights; {rows} kernels of {len(self.kernels)} ops; "
                f"{self.target}, {self.linked}")
        return text + (f"\nverified: {self.verified}" if self.verified else "")


def build(model: Any, out: str | Path, target: str = "native", static: str | bool | None = None, lib: bool = False, verify: bool = False,
          prebuilt: bool = False) -> Built:
    """Writes an executable (or `lib`: out.a or libout.a and a header) from a model, a .accel or .onnx file, or the bytes of a Plan.

    static: None links libc and libm dynamically; "musl" (or True) needs nothing at run time (the `cross` extra); "glibc" is 0.7 MB larger.
    target: one of link.TARGETS; every other than "native" is static with musl.   prebuilt: append to the runner with every kernel, no compiler.
    verify: run the artefact on random inputs against the model in Python; a difference raises verify.Difference and leaves nothing behind."""
    static = "musl" if static is True else static or None
    plan = without_graph(plan_bytes(model))
    _C.Plan(plan)                                           # refuses what the engine would refuse
    path, arch = Path(out), link.arch_of(target)
    rows = rows_for(plan, arch)
    chain = None if prebuilt else link.toolchain_for(target, static)
    if lib:
        path = path if path.suffix == ".a" else path.with_name(f"lib{path.name}.a")
        if chain is None:
            raise UnsupportedError("a library needs a C++ compiler: install g++ or clang++")
    elif chain is None:
        if target != "native" or static:
            raise UnsupportedError("the prebuilt runner is for this machine and links libc dynamically: leave out target and static")
        rows = {op["name"]: [row["name"] for row in op["rows"]] for op in _C.ops()}
    path.parent.mkdir(parents=True, exist_ok=True)
    verdict = None
    with tempfile.TemporaryDirectory(prefix=".accelnn-", dir=path.parent) as folder:   # made and verified beside its place, then moved there whole
        made, program = Path(folder) / path.name, Path(folder) / ".program"
        if chain is None:
            link.append_to_runner(plan, made)
        else:
            link.link(plan, rows, made, chain, lib, any(kind == FLOWS and count for kind, count, _ in sections(plan)))
        if verify:
            from .verify import compare
            if lib and chain:
                link.link_harness(made, program, chain)
            verdict = compare(plan, program if lib else made, arch, through_c=lib)
        made.replace(path)
    if lib:
        path.with_name(path.name.removeprefix("lib")).with_suffix(".h").write_text(header(plan, path.name))
    linked = "library" if lib else "prebuilt" if chain is None else static or ("dynamic" if target == "native" else "musl")
    return Built(str(path), target, linked, path.stat().st_size, weight_bytes(plan), {op: list(names) for op, names in rows.items()}, verdict)


def header(plan: bytes, name: str) -> str:
    """The C API, with this model's inputs and outputs in front."""
    engine = _C.Plan(plan)
    lines = [f" * {what:<6}  {i}  {port['name']}  {_C.dtypes[port['dtype']]}[{', '.join(map(str, port['shape']))}]\n"
             for what, kind in (("input", 0), ("output", 1)) for i, port in enumerate(engine.ports(kind))]
    return f"/* {name}: link with -lm -pthread -Wl,--gc-sections\n{''.join(lines)} */\n" + (link.ROOT / "csrc/engine/accelnn.h").read_text()


def plan_bytes(model: Any) -> bytes:
    """The .accel bytes of a model, a path or bytes."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if isinstance(model, (str, Path)):
        path = Path(model)
        if path.suffix != ".accel":
            from ..model import load
            return plan_bytes(load(path))
        try:
            data = path.read_bytes()
            _C.Plan(data)
            return data
        except (OSError, FormatError) as reason:
            raise FormatError(f"{path}: {getattr(reason, 'strerror', None) or reason}") from reason
    with tempfile.TemporaryDirectory(prefix="accelnn-") as folder:
        path = Path(folder) / "model.accel"
        model.save(path)
        return path.read_bytes()


def sections(plan: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(kind, count, bytes) of each section."""
    try:
        magic, _, n, _, _ = HEADER.unpack_from(plan)
        if magic != MAGIC:
            raise FormatError(f"not an .accel file: it starts with {plan[:8]!r}")
        for i in range(n):
            kind, count, offset, size = SECTION.unpack_from(plan, HEADER.size + i * SECTION.size)
            if offset + size > len(plan):
                raise FormatError(f"an .accel file that is cut short: section {kind} ends at {offset + size:,} of {len(plan):,} bytes")
            yield kind, count, plan[offset : offset + size]
    except struct.error as reason:
        raise FormatError(f"an .accel file of {len(plan)} bytes is cut short") from reason


def without_graph(plan: bytes) -> bytes:
    """The Plan with only what the engine reads: Python's Graph stays behind."""
    _C.Plan(plan)                                           # before its parts get a new checksum
    return container([section for section in sections(plan) if section[0] < NOT_FOR_THE_ENGINE]).numpy().tobytes()


def weight_bytes(plan: bytes) -> int:
    return sum(len(data) for kind, _, data in sections(plan) if kind == WEIGHTS)


def calls(plan: bytes) -> Iterator[tuple[str, str]]:
    """(op, dtype of its first input or "") of every call: what decides which rows can be asked for."""
    part = {kind: data for kind, _, data in sections(plan)}
    operands = memoryview(part.get(OPERANDS, b"")).cast("I")
    for offset, length, _, _, _, _, first, n_in, _, _ in CALL.iter_unpack(part.get(CALLS, b"")):
        value = operands[first] if n_in else ABSENT
        dtype = "" if value == ABSENT else _C.dtypes[VALUE.unpack_from(part[VALUES], value * VALUE.size)[1]]
        yield part[STRINGS][offset : offset + length].decode(), dtype


SPARED = re.compile("x86_(avx512|avxvnni|amx)$")


def rows_for(plan: bytes, arch: str) -> dict[str, list[str]]:
    """The rows that a program for `arch` may choose from: by op and dtype, best first. Left out are references, which are for tests, and where there is
    an exact row for AVX512-VNNI those for AVX-512 without it (a twentieth of an int8 program), AVX-VNNI and AMX (4 KB together): such machines take that of
    AVX2 or of AVX512-VNNI instead, with equal bits."""
    wanted: dict[str, set[str]] = {}
    for op, dtype in calls(plan):
        wanted.setdefault(op, set()).add(dtype)
    chosen = {}
    for table in _C.ops():
        dtypes = wanted.get(table["name"], set())
        rows = [row for row in table["rows"] if (row["dtype"] in dtypes or "" in dtypes) and row["device"] == "cpu" and row["exactness"] != "reference"]
        names = [row["name"] for row in rows if not toolchain.is_foreign(row["name"], arch)]
        if names:
            exact = {row["name"] for row in rows if row["exactness"] == "exact"}     # others add in another order: Python's bits would not be the program's
            chosen[table["name"]] = [n for n in names if n not in exact or not (beside := SPARED.search(n)) or n.replace(beside[0], "x86_vnni") not in names]
    return chosen
