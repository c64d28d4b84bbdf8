"""The Python end of tests/cpp/row_server.cpp: calls that rows compiled for another processor answer, all in one run of the emulator."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelnn.core.graph import Spec
from accelnn.core.registry import KERNELS
from accelnn.deploy import link, toolchain as tc

from .contract import Sample

ROOT = Path(__file__).resolve().parents[2]
DAMAGE = ("", "a byte outside an output was written", "an input was written")


def build(chain: tc.Toolchain, folder: Path) -> Path:
    """The server, with every kernel for the toolchain's processor."""
    program = folder / "row_server"
    source = tc.Source("tests/cpp/row_server.cpp", "deploy", "base")
    tc.run([*chain.cxx, *tc.flags(source, chain), *tc.includes(ROOT), "-c", str(ROOT / source.path), "-o", str(folder / "row_server.o")])
    tc.run([*link.as_c(chain.cxx), *chain.link, str(folder / "row_server.o"), str(link.library(chain)), "-o", str(program), "-lm", "-pthread"])
    return program


def operand(view: Any) -> bytes:
    """Rank, dtype, shape, strides and the memory that a view spans."""
    if view is None:
        return struct.pack("<i", -1)
    n = len(view.shape)
    span = 0 if 0 in view.shape else 1 + sum((size - 1) * step for size, step in zip(view.shape, view.stride))
    array = view.numpy()
    memory = np.lib.stride_tricks.as_strided(array, (span,), (array.itemsize,)).tobytes() if span else b""
    return struct.pack(f"<ii{2 * n}qq", n, view.dtype, *view.shape, *view.stride, len(memory)) + memory


def attributes(kernel: Any, given: dict[str, Any]) -> bytes:
    packed = b""
    for a in kernel["attrs"]:
        value = given.get(a["name"], () if a["kind"] == "integers" else a["default"])
        if a["kind"] == "integers":
            packed += struct.pack(f"<{1 + len(value)}q", len(value), *value)
        else:
            packed += struct.pack("<q" if a["kind"] == "integer" else "<d", int(value) if a["kind"] == "integer" else value)
    return packed


def question(sample: Sample, inputs: Sequence[Any], outputs: Sequence[Spec], rows: Sequence[str]) -> bytes:
    kernel = KERNELS[sample.op.kernel or "pointwise"]
    ins = [operand(v) for v in inputs] + [operand(None)] * (kernel["max_in"] - len(inputs))
    outs = [struct.pack(f"<ii{len(s.shape)}q", len(s.shape), s.dtype, *s.shape) for s in outputs]
    outs += [struct.pack("<i", -1)] * (kernel["max_out"] - len(outputs))
    names = [struct.pack("<i", len(row)) + row.encode() for row in rows]
    attrs = attributes(kernel, sample.op.kernel_attrs(sample.attrs, len(sample.arrays)))
    return b"".join((struct.pack("<i", kernel["number"]), attrs, *ins, *outs, struct.pack("<i", len(rows)), *names))


class Answers:
    """What the server wrote: its processor's instructions, then the answer of every row, in the order of the questions."""

    def __init__(self, command: Sequence[str], questions: Sequence[bytes]) -> None:
        done = subprocess.run(list(command), input=b"".join(questions), capture_output=True, timeout=120)
        self.data, self.at, self.ended = done.stdout, 0, f"the server ended with {done.returncode}: {done.stderr.decode()}"
        self.isa = self._numbers("I")[0]

    def _bytes(self, n: int) -> bytes:
        assert self.at + n <= len(self.data), self.ended
        self.at += n
        return self.data[self.at - n : self.at]

    def _numbers(self, code: str) -> tuple[int, ...]:
        return struct.unpack(f"<{code}", self._bytes(struct.calcsize(f"<{code}")))

    def next(self, outputs: Sequence[Spec]) -> list[np.ndarray] | str:
        """The outputs of a row, or why it does not take the call."""
        (outcome,) = self._numbers("i")
        if outcome:
            reason = self._bytes(self._numbers("i")[0]).decode()
            assert outcome == 1, reason
            return reason
        (damage,) = self._numbers("i")
        assert not damage, DAMAGE[damage]
        made = []
        for s in outputs:
            n = int(np.prod(s.shape, dtype=np.int64)) * s.dtype.itemsize
            made.append(np.frombuffer(self._bytes(n), s.dtype.storage).reshape(s.shape))
        return made
