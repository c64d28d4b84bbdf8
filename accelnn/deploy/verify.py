"""Runs a built program on random inputs beside its Plan in Python."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C
from ..core.dtypes import DType, as_dtype
from ..core.errors import Error, UnsupportedError
from ..core.tensor import Tensor, tensor
from . import toolchain as tc

Arrays = dict[str, Any]
INPUT, OUTPUT = 0, 1
MAX_RANK = 8
HEAD = struct.Struct(f"<ii{MAX_RANK}q")
CASES = ((1, 0), (3, 1))    # (size of every free dim, seed)
# Float rows of another processor add in another order: that is a few ulps a sum, of the largest output.
OTHER_ORDER = 2e-5


class Difference(Error, RuntimeError):
    """A program's answers are not those of its model."""


def random_inputs(plan: Any, size: int, seed: int) -> Arrays:
    """An array for each input of a _C.Plan: normal floats, integers of the whole range of 8 bits, 0 or 1 for wider ones (labels, counts)."""
    rng, made = np.random.default_rng(seed), {}
    for port in plan.ports(INPUT):
        shape, dtype = tuple(n if isinstance(n, int) else size for n in port["shape"]), DType(port["dtype"])
        if dtype.is_float:
            made[port["name"]] = rng.normal(size=shape).astype(np.float16 if dtype == DType.float16 else np.float32)
        elif dtype in (DType.int8, DType.uint8):
            info = np.iinfo(dtype.storage)
            made[port["name"]] = rng.integers(info.min, info.max, shape, dtype.storage, endpoint=True)
        else:
            made[port["name"]] = rng.integers(0, 2, shape).astype(dtype.storage)
    return made


def in_python(plan: Any, inputs: Arrays) -> Arrays:
    """The outputs of a _C.Plan."""
    given = tuple(tensor(inputs[p["name"]], dtype=DType(p["dtype"])).view for p in plan.ports(INPUT))
    return {p["name"]: np.array(Tensor(view).numpy()) for p, view in zip(plan.ports(OUTPUT), plan.run(given, ()), strict=True)}


def in_program(command: list[str], inputs: Arrays, outputs: list[str]) -> Arrays:
    """The outputs of an executable that speaks --input NAME=x.npy --output NAME=y.npy."""
    with tempfile.TemporaryDirectory(prefix="accelnn-") as folder:
        argv = list(command)
        for i, (name, x) in enumerate(inputs.items()):
            np.save(f"{folder}/in{i}.npy", x)
            argv += ["--input", f"{name}={folder}/in{i}.npy"]
        for i, name in enumerate(outputs):
            argv += ["--output", f"{name}={folder}/out{i}.npy"]
        _must(argv)
        return {name: np.load(f"{folder}/out{i}.npy") for i, name in enumerate(outputs)}


def in_harness(command: list[str], inputs: Arrays, outputs: list[str]) -> Arrays:
    """The outputs of csrc/deploy/harness.c: raw tensors behind their dtype, rank and shape."""
    with tempfile.TemporaryDirectory(prefix="accelnn-") as folder:
        argv = [*command, *(f"{folder}/in{i}" for i in range(len(inputs))), *(f"{folder}/out{i}" for i in range(len(outputs)))]
        for i, x in enumerate(inputs.values()):
            head = HEAD.pack(as_dtype(x.dtype), x.ndim, *x.shape, *[0] * (MAX_RANK - x.ndim))
            Path(folder, f"in{i}").write_bytes(head + np.ascontiguousarray(x).tobytes())
        _must(argv)
        answers = {}
        for i, name in enumerate(outputs):
            raw = Path(folder, f"out{i}").read_bytes()
            dtype, rank, *shape = HEAD.unpack_from(raw)
            answers[name] = np.frombuffer(raw, DType(dtype).storage, offset=HEAD.size).reshape(shape[:rank])
        return answers


def _must(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Difference(f"{command[0]} ended with exit code {done.returncode}: {done.stderr.strip()}")


def command_for(program: Path, arch: str) -> list[str]:
    """How to run a program of this processor here: itself, or through qemu-user."""
    if arch == tc.machine():
        return [os.fspath(program.resolve())]
    if qemu := shutil.which(f"qemu-{arch}") or shutil.which(f"qemu-{arch}-static"):
        return [qemu, os.fspath(program.resolve())]
    raise UnsupportedError(f"a program for {arch} cannot be verified here: apt-get install qemu-user")


def compare(plan_bytes: bytes, program: Path, arch: str, through_c: bool = False) -> str:
    """A sentence that says how the answers agree; raises Difference where they do not."""
    plan, command, exact = _C.Plan(plan_bytes), command_for(program, arch), True
    for size, seed in CASES:
        inputs = random_inputs(plan, size, seed)
        expected = in_python(plan, inputs)
        got = (in_harness if through_c else in_program)(command, inputs, list(expected))
        for name, right in expected.items():
            left = got[name]
            if left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes():
                continue
            exact = False
            far = np.max(np.abs(left.astype(np.float64) - right), initial=0) if left.shape == right.shape else np.inf
            near = OTHER_ORDER * np.max(np.abs(right), initial=0) if arch != tc.machine() and right.dtype.kind == "f" else -1
            if not far <= near:
                raise Difference(f"output '{name}' {list(left.shape)} of {program} is up to {far:g} away from Python's {list(right.shape)}"
                                 f" for random inputs of seed {seed}")
    how = "equal bit for bit" if exact else f"within {OTHER_ORDER:g} of the largest output (float rows of another processor add in another order)"
    return f"{len(CASES)} random inputs, {how}"
