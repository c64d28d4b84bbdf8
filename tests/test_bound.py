"""_C.Bound: a call that is checked once and then takes addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.errors import AliasError, AttributeValueError, BoundError, KernelError, ShapeError
from accelnn.core.tensor import apply

NUMBER = {op["name"]: op["number"] for op in _C.ops()}
F32 = 0


def spec(array: np.ndarray) -> Any:
    return array.shape, tuple(s // array.itemsize for s in array.strides), F32


def at(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_equals_the_eager_call() -> None:
    """Strided operands, an operand that is left out, attributes; the same bits as the op through a Tensor."""
    a, b, bias = draw(6, 20), draw(9, 20).T, draw(9)
    for with_bias in (False, True):
        y = np.full((6, 9), np.nan, np.float32)
        call = _C.Bound(NUMBER["matmul"], (spec(a), spec(b), spec(bias) if with_bias else None), {"activation": 1}, (spec(y),))
        call(at(a), at(b), *([at(bias)] if with_bias else []), at(y))
        operands = [an.asarray(x) for x in ((a, b, bias) if with_bias else (a, b))]
        np.testing.assert_array_equal(y, apply("matmul", *operands, activation=1).numpy())
        assert call.row.startswith("matmul_f32") and call.workspace >= 0


def test_many_addresses_one_call() -> None:
    x = [draw(5, 7) + i for i in range(4)]
    y = np.zeros((5, 1), np.float32)
    call = _C.Bound(NUMBER["reduce"], (spec(x[0]),), {"kind": 2, "axes": [1], "keepdim": 1}, (spec(y),))
    for each in x:
        call(at(each), at(y))
        np.testing.assert_array_equal(y, each.max(1, keepdims=True))


def test_refuses_what_the_op_refuses() -> None:
    a, b, y = draw(4, 8), draw(8, 4), np.zeros((4, 4), np.float32)
    good = (NUMBER["matmul"], (spec(a), spec(b)), {}, (spec(y),))
    call = _C.Bound(*good)
    with pytest.raises(AliasError, match="overlaps input 0"):
        call(at(a), at(b), at(a) + 16)
    with pytest.raises(ShapeError, match="3 addresses expected, not 2"):
        call(at(a), at(b))
    with pytest.raises(BoundError, match="operand 1 has no memory"):
        call(at(a), 0, at(y))
    with pytest.raises(TypeError):
        call(at(a), "b", at(y))
    with pytest.raises(AttributeValueError, match="none by name"):
        call(at(a), at(b), y=at(y))
    with pytest.raises(ShapeError, match=r"expected, not f32\[4, 8\] @ f32\[4, 8\]"):
        _C.Bound(good[0], (spec(a), spec(a)), {}, good[3])
    with pytest.raises(AttributeValueError, match="unknown attribute"):
        _C.Bound(good[0], good[1], {"speed": 3}, good[3])
    with pytest.raises(AttributeValueError, match="no op with number"):
        _C.Bound(10**6, good[1], {}, good[3])
    with pytest.raises(ShapeError, match="1..1 outputs"):
        _C.Bound(good[0], good[1], {}, ())
    with pytest.raises(ShapeError, match="negative"):
        _C.Bound(good[0], (((4, 8), (-8, 1), F32), spec(b)), {}, good[3])
    with pytest.raises(ShapeError, match="too large"):
        _C.Bound(good[0], (((2**62, 8), (2**62, 1), F32), spec(b)), {}, good[3])
    with pytest.raises(TypeError):
        _C.Bound(good[0], [spec(a)], {}, good[3])  # type: ignore[arg-type]


@pytest.mark.parametrize("force, fails", [("matmul:ref", False), ("matmul:nonsense", True), ("nonsense:ref", True)])
def test_honours_the_environment(force: str, fails: bool) -> None:
    code = """
from accelnn import _C
number = [o["number"] for o in _C.ops() if o["name"] == "matmul"][0]
print(_C.Bound(number, (((2, 3), None, 0), ((3, 4), None, 0)), {}, (((2, 4), None, 0),)).row)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"ACCELNN_KERNEL": force})
    if fails:
        assert done.returncode and KernelError.__name__ in done.stderr and force in done.stderr
    else:
        assert done.stdout.strip() == "matmul_f32_ref"


def test_sample_sees_what_rewrites_memory() -> None:
    x = draw(100, 70)
    before = _C.sample(at(x), x.nbytes)
    assert before == _C.sample(at(x), x.nbytes) and _C.sample(at(x), 0) == 0
    for change in (lambda: np.multiply(x, 0.5, out=x), lambda: x.fill(0), lambda: x.__setitem__((0, 0), 3.0), lambda: x.__setitem__((-1, -1), 3.0)):
        before = _C.sample(at(x), x.nbytes)
        change()
        assert _C.sample(at(x), x.nbytes) != before
