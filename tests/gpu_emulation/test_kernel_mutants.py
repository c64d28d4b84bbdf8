"""Bugs planted into copies of the project's own kernels: rows of them have to fail on samples that the real ones pass, in the interpreter and in the emulator.

Every mutant is one place of a source file changed (of a helper's file: with the kernels that use it). A mutant that only another order of threads shows is
for the checks of one half: lanes that meet in memory without a barrier for the interpreter, races in shared memory for the emulator."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from .mode import ABSENT, INTERPRETED

if importlib.util.find_spec("triton") is None:
    pytest.skip(ABSENT, allow_module_level=True)

from accelnn.core.dispatch import operands  # noqa: E402
from accelnn.core.graph import Spec  # noqa: E402
from accelnn.core.registry import OPS  # noqa: E402
from accelnn.core.remote import Remote, device_named  # noqa: E402
from accelnn.core.remote_call import DeviceCall, attributes  # noqa: E402
from accelnn.emulation import Violation  # noqa: E402

from ..contracts.contract import Sample, judge  # noqa: E402
from ..gpu_kernels.test_rows import on  # noqa: E402

REPORTED = "reported"  # in what way a mutant is caught: a check that names the place, or numbers that break the contract
WRONG = "wrong numbers"


@dataclass(frozen=True)
class Mutant:
    """`old`, which is in the file once, becomes `new`. `row` is the function that is asked, `samples` which of the op's."""

    file: str  # kernels/..., without .py
    old: str
    new: str
    op: str
    row: str
    samples: tuple[int, ...]
    interpreted: str | None = WRONG  # None: this half cannot see it
    compiled: str | None = WRONG
    user: str = ""  # the file with the row, where `file` is a helper's


ATTENTION, DECODE, GRAD, PARTS = (f"attention.gpu_triton{n}" for n in ("", "_decode", "_grad", "_parts"))
FORWARD, BACK = "recurrent.gpu_triton", "recurrent.gpu_triton_grad"
EITHER = f"{REPORTED}|{WRONG}"
MUTANTS = {
    "a key's row is not masked": Mutant(
        ATTENTION, "(j[:, None] < own) & (e[None, :] < depth)", "e[None, :] < depth", "attention", "attention", (1,), REPORTED, REPORTED),
    "causal, and a query does not see its own key": Mutant(PARTS, "    end = i + 1\n", "    end = i\n", "attention", "attention", (2,), user=ATTENTION),
    "causal from the wrong corner": Mutant(PARTS, "end += keys - queries", "end += 0 * keys", "attention", "attention", (3,), user=ATTENTION),
    "strides of q swapped": Mutant(ATTENTION, "q += b * sqb + h * sqh", "q += b * sqh + h * sqb", "attention", "attention", (1,), EITHER, EITHER),
    "heads that share keys have their own": Mutant(ATTENTION, "h // repeat * skh", "h * skh", "attention", "attention", (4,), REPORTED, REPORTED),
    "sums are not rescaled": Mutant(ATTENTION, "acc * fade[:, None]", "acc", "attention", "attention", (15,)),
    "rows share numbers of dropout": Mutant(ATTENTION, "+ rows) * draws", "+ rows // 2) * draws", "attention", "attention", (10,)),
    "parts of the keys overlap": Mutant(DECODE, "begin + part, tl.max", "begin + part + 16, tl.max", "attention_decode", "attention_decode", (6,)),
    "parts are joined without their maxima": Mutant(DECODE, "acc += one * fade[:, None]", "acc += one", "attention_decode", "attention_decode", (6,)),
    "pages of another item": Mutant(DECODE, "pages + b * (keys // page)", "pages", "attention_paged", "attention_paged", (3,)),
    "rows of a page counted from the first key": Mutant(
        DECODE, "lies, there = columns % page,", "lies, there = columns,", "attention_paged", "attention_paged", (3,), EITHER, EITHER),
    "heads of a group write one dq": Mutant(
        GRAD, "    out = item.to(tl.int64) * queries + rows\n    level", "    out = (item // repeat * repeat).to(tl.int64) * queries + rows\n    level",
        "attention_grad", "attention_grad", (4,), REPORTED),
    "delta forgotten": Mutant(GRAD, "ds = w * (dw - shift[:, None])", "ds = w * dw", "attention_grad", "attention_grad", (1,)),
    "dk without the first queries": Mutant(GRAD, "tl.minimum(j0, count)", "tl.minimum(j0 + 16, count)", "attention_grad", "attention_grad", (2,)),
    "no barrier between steps": Mutant(
        FORWARD, "            tl.debug_barrier()\n        if PROJECTED:", "        if PROJECTED:", "lstm", "recurrent", (28,), REPORTED, None),
    "a step writes the state that it reads": Mutant(FORWARD, "(s + 1) % 2 * plane", "s % 2 * plane", "lstm", "recurrent", (28,), EITHER, EITHER),
    "input and forget gates exchanged": Mutant(FORWARD, "after = gf * c + gi * gg", "after = gi * c + gf * gg", "lstm", "recurrent", (7,)),
    "a sequence goes on beyond its length": Mutant(FORWARD, "tl.where(has, after, c)", "after", "lstm", "recurrent", (9,)),
    "a step takes its own cotangents for its successor's": Mutant(
        BACK, "w, t, past = w0, steps - 1 - s, steps - s", "w, t, past = w0, steps - 1 - s, steps - 1 - s", "lstm_grad", "recurrent_grad", (3,),
        EITHER, EITHER),
    "softmax: what lies beyond the axis takes part": Mutant(
        "softmax.gpu_triton", 'float("-inf"))\n    v = v', "0.0)\n    v = v", "softmax", "softmax", (0, 1, 2, 3)),
    "norm: what lies beyond the row takes part": Mutant(
        "norm.gpu_triton", "moved = tl.where(live, v - mean[None, :], 0.0)\n    shift", "moved = v - mean[None, :]\n    shift", "layer_norm", "layer_norm",
        (0, 1, 2, 3)),
    "norm: rows beyond the last are stored": Mutant(
        "norm.gpu_triton", "tl.store(rstd + r, scale, mask=r < rows)", "tl.store(rstd + r, scale)", "layer_norm", "layer_norm", (0, 1, 2, 3),
        REPORTED, REPORTED),
}  # fmt: skip


def changed(file: str, old: str, new: str, folder: Path) -> ModuleType:
    """A copy of a file of kernels with one place changed. Triton reads the source of what it compiles: it has to be a file."""
    path = Path(str(importlib.import_module(f"accelnn.kernels.{file}").__file__))
    text = path.read_text()
    assert text.count(old) == 1, f"{file}: {old!r} is there {text.count(old)} times"
    copy = folder / f"{path.stem}_changed.py"
    copy.write_text(text.replace(old, new))
    name = f"accelnn.kernels.{file}_changed"
    spec = importlib.util.spec_from_file_location(name, copy)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.endswith("_changed"):
            del sys.modules[name]


def planted(mutant: Mutant, folder: Path) -> Any:
    """The mutant's row."""
    module = changed(mutant.file, mutant.old, mutant.new, folder)
    if mutant.user:
        user = changed(mutant.user, "from __future__ import annotations\n", "from __future__ import annotations\n\n", folder)
        for name, value in vars(module).items():
            if hasattr(value, "arg_names") and hasattr(user, name):
                setattr(user, name, value)
        module = user
    return getattr(module, mutant.row)


def outcome(op: str, row: Any, number: int) -> str:
    """What is said of a row's answer to one sample: "right" if nothing."""
    arrays, attrs = OPS[op].samples()[number]
    sample = Sample(OPS[op], f"{op}-{number}", tuple(a if a is None else np.ascontiguousarray(a) for a in arrays), attrs)
    device = device_named("emu")
    views = [on(device, a) for a in sample.arrays]
    outputs = sample.op.specs([None if v is None else Spec(v.shape, v.dtype) for v in views], attrs)
    made = [Remote.empty(device, s.shape, s.dtype) for s in outputs]
    call = DeviceCall(device, operands(sample.op, views, outputs, attrs), made, attributes(sample.op, attrs, len(views)))
    assert row.refuse(call) is None, f"{op}-{number} is not a sample that the row takes"
    try:
        row.run(call)
    except Violation as violation:
        return f"{REPORTED}: {violation}"
    try:
        judge(sample, outputs, [m.numpy() for m in made])
    except AssertionError as found:
        return f"{WRONG}: {found}"
    return "right"


# Which lane wrote what another one reads in global memory only the interpreter knows: such bugs are not expected of compiled kernels.
EXPECTED = {name: said for name, m in MUTANTS.items() if (said := m.interpreted if INTERPRETED else m.compiled) is not None}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_planted_bug_is_caught(name: str, folder: Path) -> None:
    mutant = MUTANTS[name]
    row = planted(mutant, folder)
    said = [outcome(mutant.op, row, n) for n in mutant.samples]
    assert any(re.match(EXPECTED[name], s) for s in said), said


@pytest.mark.parametrize(("file", "op", "row", "samples"), sorted({(m.user or m.file, m.op, m.row, m.samples) for m in MUTANTS.values()}))
def test_copies_without_a_bug_are_right(file: str, op: str, row: str, samples: tuple[int, ...], folder: Path) -> None:
    """So that a mutant cannot be caught for being a copy."""
    module = changed(file, "from __future__ import annotations\n", "from __future__ import annotations\n\n", folder)
    assert [outcome(op, getattr(module, row), n) for n in samples] == ["right"] * len(samples)
