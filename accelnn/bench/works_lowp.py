"""Products in fewer bits. A work is in the table where this version has the op."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

import accelnn as an

from ..core.dtypes import DType, from_bfloat16, to_bfloat16
from ..core.errors import Error, ShapeError
from ..core.graph import Spec
from ..core.registry import OPS
from ..core.tensor import apply
from ..ops.matmul import gamma
from .arrays import empty, normal, placed
from .check import Truth
from .works import MATMUL, Call, Inputs, Work, add, called_packed, packed_weights, sizes


def _ops(name: str) -> Any:
    """accelnn.ops.<name>, None where this version has no such ops."""
    return importlib.import_module(f"accelnn.ops.{name}") if importlib.util.find_spec(f"accelnn.ops.{name}") else None


# bfloat16: both operands


def _bf16(rng: np.random.Generator, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    return Inputs([placed(to_bfloat16(normal(rng, m, k))), placed(to_bfloat16(normal(rng, k, n)))])


def _bf16_truth(x: Inputs) -> Truth:
    """Sums in float32, and one rounding to bfloat16 where the result is one."""
    a, b = (from_bfloat16(v).astype(np.float64) for v in x.arrays)
    y = a @ b
    return Truth([y], [gamma(a.shape[1] + 2) * (np.abs(a) @ np.abs(b)) + 2.0**-8 * np.abs(y)])


def _bf16_cost(x: Inputs) -> tuple[float, float]:
    (m, k), n = x.arrays[0].shape, x.arrays[1].shape[1]
    return 2.0 * m * k * n, 2.0 * (m * k + k * n + m * n)


def _bf16_call(x: Inputs) -> Call:
    a, b = x.tensors()
    return lambda: a @ b


def _takes_bf16() -> bool:
    try:
        OPS["matmul"].shape(Spec((1, 1), DType.bfloat16), Spec((1, 1), DType.bfloat16))
    except Error:
        return False
    return True


# int8: u8 activations made beforehand (static), or float32 ones quantized in the call (dynamic)


def _static(rng: np.random.Generator, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    a, w = empty((m, k), np.uint8), empty((k, n), np.int8)
    a[...], w[...] = rng.integers(0, 256, a.shape), rng.integers(-128, 128, w.shape)
    return Inputs([a, np.array(128, np.uint8), w, placed(rng.uniform(1e-4, 1e-3, n).astype(np.float32))], {"out": "float32"})


def _static_truth(x: Inputs) -> Truth:
    """Integer sums in float64 (they are exact there), then the contract's float32 product: known to the bit."""
    a, zero, w, scale = x.arrays
    sums = (a.astype(np.float64) - float(zero)) @ w.astype(np.float64)
    return Truth([sums.astype(np.float32) * scale], [0.0])


def _static_cost(x: Inputs) -> tuple[float, float]:
    (m, k), n = x.arrays[0].shape, x.arrays[2].shape[1]
    return 2.0 * m * k * n, float(m * k + k * n + 4 * m * n + 4 * n)


def _static_packed(x: Inputs) -> Inputs:
    a, zero, w, scale = x.arrays
    return Inputs([a, zero, placed(apply("matmul_pack", an.asarray(w)).numpy()), scale], x.attrs | {"packed": 1})


def _static_call(x: Inputs) -> Call:
    packed = _static_packed(x)
    tensors, attrs = packed.tensors(), packed.attrs
    return lambda: apply("qmatmul", *tensors, **attrs)


def _dynamic(rng: np.random.Generator, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    w = empty((k, n), np.int8)
    w[...] = rng.integers(-127, 128, w.shape)
    return Inputs([normal(rng, m, k), w, placed(rng.uniform(1e-3, 1e-2, n).astype(np.float32))])


def _dynamic_packed(x: Inputs) -> Inputs:
    a, w, scale = x.arrays
    return Inputs([a, placed(_ops("dynamic").pack(an.asarray(w)).numpy()), scale], {"packed": 1})


def _dynamic_call(x: Inputs) -> Call:
    (a, packed, scale), product = _dynamic_packed(x).tensors(), _ops("dynamic").dynamic_qmatmul
    return lambda: product(a, packed, scale)


# int4: weights in groups along K


def _int4(compute: str) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        shape, _, option = text.partition(":group=")
        m, k, n = sizes(shape, 3, f"{MATMUL}[:group=32]")
        group = int(option or 32)
        if k % group:
            raise ShapeError(f"'{text}': K is no multiple of the group")
        q, scales = empty((n, k), np.uint8), rng.uniform(1e-3, 1e-2, (n, k // group)).astype(np.float16).astype(np.float32)
        q[...] = rng.integers(0, 16, q.shape, np.uint8)
        packed = placed(apply("matmul_int4_pack", an.asarray(q), an.asarray(scales), group=group).numpy())
        return Inputs([normal(rng, m, k), packed], {"columns": n, "group": group, "compute": int(compute == "int8")}, {"q": q, "scales": scales})

    return draw


def _int4_call(x: Inputs) -> Call:
    a, w = x.tensors()
    ops, attrs = _ops("weight_only"), x.attrs
    weight, compute = ops.Int4Weight(w, (a.shape[1], attrs["columns"]), attrs["group"], False), ("float32", "int8")[attrs["compute"]]
    product = ops.matmul_int4
    return lambda: product(a, weight, compute=compute)


# Block-sparse: 80 % zero blocks, beside the same product with all of them


def _sparse(dtype: DType) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        m, k, n = sizes(text, 3, MATMUL)
        ops = _ops("sparse")
        full = ops.sparsify(normal(rng, k, n), 0.8)
        w = ops.pack_sparse(full, dtype)
        parts = [p for p in (w.first, w.index, w.values, w.scale, w.sums) if p is not None]
        return Inputs([normal(rng, m, k), *(placed(p.numpy()) for p in parts)], {"columns": n}, {"weight": w, "dense": placed(full)})

    return draw


def _sparse_call(x: Inputs) -> Call:
    a, weight, product = x.tensors()[0], x.note["weight"], _ops("sparse").matmul_sparse
    return lambda: product(a, weight)


def _dense_f32(x: Inputs) -> Call:
    a, b = x.tensors()[0], an.asarray(x.note["dense"])
    columns, packed = b.shape[1], apply("matmul_pack", b)
    return lambda: apply("matmul", a, packed, packed=1, columns=columns)


def _dense_int8(x: Inputs) -> Call:
    ops, a = _ops("dynamic"), x.tensors()[0]
    q, scale = ops.quantize_weight(an.asarray(x.note["dense"]))
    packed, product = ops.pack(q), ops.dynamic_qmatmul
    return lambda: product(a, packed, scale)


_STATIC = Work("qmatmul", "qmatmul", _static, _static_call, MATMUL, peak="int8", truth=_static_truth, cost=_static_cost, dtype="i8",
               called=_static_packed)
add(_STATIC)
if _takes_bf16():
    for _name, _call, _called in (("matmul_bf16", _bf16_call, None), ("matmul_bf16_packed", called_packed, packed_weights)):
        add(Work(_name, "matmul", _bf16, _call, MATMUL, peak="bf16", peers="matmul_bf16", truth=_bf16_truth, cost=_bf16_cost, dtype="bf16",
                 called=_called))
if _ops("dynamic"):
    add(Work("dynamic_qmatmul", "dynamic_qmatmul", _dynamic, _dynamic_call, MATMUL, peak="int8", dtype="i8", called=_dynamic_packed))
if _ops("weight_only"):
    _SYNTAX = f"{MATMUL}[:group=32]"
    add(Work("matmul_int4", "matmul_int4", _int4("int8"), _int4_call, _SYNTAX, peak="int8", dtype="i4"),
        Work("matmul_int4_f32", "matmul_int4", _int4("float32"), _int4_call, _SYNTAX, dtype="i4"))
if _ops("sparse"):
    add(Work("matmul_sparse", "matmul_sparse", _sparse(DType.float32), _sparse_call, MATMUL, rivals={"own dense": _dense_f32}))
    if _ops("dynamic"):
        add(Work("matmul_sparse_int8", "matmul_sparse_int8", _sparse(DType.int8), _sparse_call, MATMUL, peak="int8", dtype="i8",
                 rivals={"own dense": _dense_int8}))
