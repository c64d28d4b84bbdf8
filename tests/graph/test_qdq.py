"""Networks between quantize_linear and dequantize_linear run on kernels of integers, with the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.tensor import apply
from accelnn.model import Model
from accelnn.passes import integer_kernels, run_passes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 16, 9, 8)).astype(np.float32)


def known(x: Any, dtype: Any = np.float32) -> Any:
    t = an.asarray(np.asarray(x, dtype))
    t.literal = True
    return t


def coded(x: Any, scale: float = 0.03, zero: int = 117, dtype: Any = np.uint8) -> Any:
    """x through bytes."""
    s, z = known(scale), known(zero, dtype)
    return apply("dequantize_linear", apply("quantize_linear", x, s, z), s, z)


def weight(*shape: int, each: bool = True, axis: int = 0) -> Any:
    """Bytes with a scale an output, or one for all; dequantized where it is called, so that the graph does it."""
    n = shape[axis]
    scale, zero = (known(RNG.uniform(0.005, 0.01, n)), known(np.zeros(n), np.int8)) if each else (known(0.007), known(0, np.int8))
    numbers = known(RNG.integers(-127, 128, shape), np.int8)
    return lambda: apply("dequantize_linear", numbers, scale, zero, axis=axis if each else 1)


W, V, DEPTHWISE, ROWS = weight(24, 16, 3, 3), weight(24, 24, 1, 1, each=False), weight(24, 1, 3, 3), weight(10, 24)
BIAS = known(RNG.normal(size=24))
POOL = {"kernel_h": 2, "kernel_w": 2, "stride_h": 2, "stride_w": 2, "pad_top": 0, "pad_left": 0, "pad_bottom": 0, "pad_right": 0}


def conv(x: Any, w: Any = W, bias: Any = BIAS, **attrs: Any) -> Any:
    return apply("conv2d", x, w(), bias, **attrs) if bias is not None else apply("conv2d", x, w(), **attrs)


def small(x: Any) -> Any:
    return coded(x, 0.02, 100)


NETS: dict[str, tuple[Callable[[Any], Any], list[str], list[str]]] = {      # what integer_kernels makes, and what runs
    "conv": (lambda x: small(conv(coded(x))), ["quantize_linear", "qconv2d", "dequantize_linear"], ["quantize_linear", "qconv2d_packed", "dequantize_linear"]),
    "conv, relu, no bias": (lambda x: small(conv(coded(x), bias=None).relu()), ["quantize_linear", "qconv2d", "dequantize_linear"],
                            ["quantize_linear", "qconv2d_packed", "dequantize_linear"]),
    "int8": (lambda x: coded(conv(coded(x, 0.03, -5, np.int8)), 0.02, 3, np.int8), ["quantize_linear", "qconv2d", "dequantize_linear"],
             ["quantize_linear", "qconv2d_packed", "dequantize_linear"]),
    "float out": (lambda x: conv(coded(x)), ["quantize_linear", "qconv2d"], ["quantize_linear", "qconv2d_packed"]),
    "depthwise": (lambda x: small(conv(small(conv(coded(x))), DEPTHWISE, groups=24)), ["quantize_linear", "qconv2d", "qconv2d", "dequantize_linear"],
                  ["quantize_linear", "qconv2d_packed", "qconv2d_packed", "dequantize_linear"]),
    "pool between": (lambda x: small(conv(small(apply("max_pool2d", small(conv(coded(x))), **POOL)), V)),
                     ["quantize_linear", "qconv2d", "max_pool2d", "qconv2d", "dequantize_linear"],
                     ["quantize_linear", "qconv2d_packed", "pool2d_nhwc", "qconv2d_packed", "dequantize_linear"]),
    "residual": (lambda x: (lambda y: small((small(conv(y, V)) + y).relu()))(small(conv(coded(x)))),
                 ["quantize_linear", "qconv2d", "qconv2d", "dequantize_linear", "dequantize_linear", "add", "relu", "quantize_linear", "dequantize_linear"],
                 ["quantize_linear", "qconv2d_packed", "qconv2d_packed", "pointwise"]),
    "a table": (lambda x: small((lambda y: y * coded(an.clip(y + 3.0, 0.0, 6.0) / 6.0, 1 / 255, 0))(small(conv(coded(x))))),
                ["quantize_linear", "qconv2d", "dequantize_linear", "add", "maximum", "minimum", "div", "quantize_linear", "dequantize_linear", "mul",
                 "quantize_linear", "dequantize_linear"], ["quantize_linear", "qconv2d_packed", "byte_table"]),
    "rows": (lambda x: coded(coded(x.mean((2, 3))[:, :1].expand(2, 24)) @ ROWS().mT + known(np.arange(10)), 0.05, 9),
             ["mean", "slice", "expand", "quantize_linear", "qmatmul", "dequantize_linear"],
             ["reduce", "copy", "quantize_linear", "qmatmul", "dequantize_linear"]),
    "windows": (lambda x: coded(coded(x).permute(0, 2, 3, 1)), ["quantize_linear", "permute", "dequantize_linear"],
                ["quantize_linear", "copy", "dequantize_linear"]),
    "another step": (lambda x: small(coded(x).permute(0, 2, 3, 1)), ["quantize_linear", "dequantize_linear", "permute", "quantize_linear", "dequantize_linear"],
                     []),
}  # fmt: skip


def ops(graph: Any) -> list[str]:
    return [n.op for n in graph.nodes() if not n.is_source]


@pytest.mark.parametrize("name", NETS)
def test_bytes_stay_bytes(name: str) -> None:
    f, wanted, runs = NETS[name]
    raw = an.freeze(f, (X,), dynamic_batch=False).graph
    changed = run_passes(raw, (integer_kernels,))
    assert [o for o in ops(changed) if o != "reshape"] == wanted, f"{raw}\n{changed}"
    model = Model(raw)
    found = [row["op"] for row in model.report(X)]
    assert not runs or found[: len(runs)] == runs, f"{changed}\n{found}"
    plain, got = Model(raw, lowered=raw)(X).numpy(), model(X).numpy()
    most = {"rows": 0.0501, "float out": 0.5 * 0.03 * 0.01}.get(name, 0.0201)
    assert np.abs(got - plain).max() <= most, "at most one byte beside: a bias that is no multiple of the sums' step moves them by half of it"
    assert name == "float out" or (got != plain).mean() < 0.03


def test_a_chain_of_functions_is_a_table() -> None:
    raw = an.freeze(lambda x: small(coded(x).sigmoid()), (X,), dynamic_batch=False).graph
    model = Model(raw)
    assert [row["op"] for row in model.report(X)] == ["quantize_linear", "byte_table", "dequantize_linear"]
    assert np.array_equal(model(X).numpy(), Model(raw, lowered=raw)(X).numpy())
