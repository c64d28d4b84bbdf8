"""Integers: QDQ pairs, the QLinear and Integer ops, com.microsoft's weights of few bits."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.graph import Spec
from ....core.lazy import made_of, read
from ....core.tensor import Tensor, apply, apply_all
from ....ops.arithmetic import calculate
from ....ops.arrange import cut
from ....ops.recurrent_functions import byte_panels, panel_shape
from ....ops.weight_only import COMPUTE, GROUPS, pack_reference
from ..call import Call, axis_of, register
from ..integer_products import conv_integer, matmul_integer
from ..values import numbers

RANGE = {DType.uint8: (0.0, 255.0), DType.int8: (-128.0, 127.0), DType.uint16: (0.0, 65535.0), DType.int16: (-32768.0, 32767.0)}


def wide(c: Call, x: Any, rank: int, axis: int) -> Tensor:
    """Scale or zero point in the shape that broadcasts along `axis`."""
    t = c.tensor(x).float()
    if t.ndim == 0 or t.shape == (1,):
        return t.reshape(*[1] * rank) if rank else t.reshape()
    return t.reshape(*[t.shape[0] if d == axis else 1 for d in range(rank)])


def _along(c: Call, x: Tensor, scale: Any, zero: Any) -> tuple[Tensor, Tensor | None]:
    """Scale and zero point as float32 that broadcast to x: one for all, one for each index of an axis, or one for each block along it."""
    axis, block = int(c.get("axis", 1)), int(c.get("block_size", 0))
    if c.tensor(scale).shape in ((), (1,)):
        return wide(c, scale, x.ndim, 0), None if zero is None else wide(c, zero, x.ndim, 0)
    axis = axis_of(c, axis, x.ndim)
    if not block:
        return wide(c, scale, x.ndim, axis), None if zero is None else wide(c, zero, x.ndim, axis)

    def spread(v: Any) -> Tensor:
        t = c.tensor(v).float()
        n: Any = t.shape[axis]
        each = t.unsqueeze(axis + 1).expand(*t.shape[: axis + 1], block, *t.shape[axis + 1 :])
        return cut(each.reshape(*t.shape[:axis], n * block, *t.shape[axis + 1 :]), axis, 0, x.shape[axis])

    return spread(scale), None if zero is None else spread(zero)


def _one(c: Call, x: Any) -> Tensor:
    """A number without dimensions; known ones stay known."""
    array = numbers(x)
    return c.tensor(x).reshape() if array is None else c.tensor(array.reshape(()))


def _steps(c: Call, x: Tensor, scale: Any, zero: Any) -> Any:
    """Scale, zero point and axis as the kernels take them: one for all, or one for each index of an axis; None where they are neither."""
    c.ignore("axis")
    s, z = c.tensor(scale), None if zero is None else c.tensor(zero)
    single = {t.shape for t in (s, z) if t is not None} <= {(), (1,)}
    if int(c.get("block_size", 0)) or s.dtype != DType.float32 or len(s.shape) > 1 or (z is not None and z.shape != s.shape and not single):
        return None
    if single:
        return _one(c, scale), None if zero is None else _one(c, zero), 0
    axis = axis_of(c, int(c.get("axis", 1)), x.ndim)
    return (s, z, axis) if s.shape == (x.shape[axis],) else None


@register("DequantizeLinear")
def _(c: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    t = c.tensor(x)
    c.ignore("output_dtype")         # the scale's
    if t.dtype in (DType.uint8, DType.int8, DType.int32) and (steps := _steps(c, t, scale, zero)) is not None:
        return apply("dequantize_linear", t, *(steps[:1] if zero is None else steps[:2]), axis=steps[2])
    if t.dtype not in (*RANGE, DType.int32):
        raise c.refuse(f"elements of {t.dtype.name}")
    step, offset = _along(c, t, scale, zero)
    whole = t.float()
    return ((whole if offset is None else whole - offset) * step).to(c.tensor(scale).dtype)


@register("QuantizeLinear")
def _(c: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    t = c.tensor(x)
    c.ignore("saturate", "output_dtype", "precision")
    if zero is not None:
        kind = c.tensor(zero).dtype
    else:
        kind = {0: DType.uint8, 2: DType.uint8, 3: DType.int8, 4: DType.uint16, 5: DType.int16}.get(c.get("output_dtype", 0), DType.float32)
    if kind not in RANGE:
        raise c.refuse(f"results of {kind.name}")
    if kind in (DType.uint8, DType.int8) and t.dtype == DType.float32:
        zero = np.zeros(c.tensor(scale).shape, kind.storage) if zero is None else zero
        if (steps := _steps(c, t, scale, zero)) is not None:
            return apply("quantize_linear", t, *steps[:2], axis=steps[2])
    step, offset = _along(c, t, scale, zero)
    whole = ops.round(t / step)
    return ops.clip(whole if offset is None else whole + offset, *RANGE[kind]).to(kind)


@register("DynamicQuantizeLinear")
def _(c: Call, x: Any) -> Any:
    return apply_all("dynamic_quantize", c.tensor(x))


@register("ConvInteger")
def _(c: Call, x: Any, w: Any, x_zero: Any = None, w_zero: Any = None) -> Any:
    return conv_integer(c, x, w, x_zero, w_zero)


@register("MatMulInteger")
def _(c: Call, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    return matmul_integer(c, a, b, a_zero, b_zero)


def _requantized(c: Call, y: Tensor, scale: Any, zero: Any) -> Tensor:
    t = c.tensor(zero)
    return ops.clip(ops.round(y / c.tensor(scale).float().reshape()) + t.float().reshape(), *RANGE[t.dtype]).to(t.dtype)


@register("QLinearMatMul")
def _(c: Call, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any, y_zero: Any) -> Any:
    y = matmul_integer(c, a, b, a_zero, b_zero).float()
    return _requantized(c, y * (wide(c, a_scale, y.ndim, y.ndim - 2) * wide(c, b_scale, y.ndim, y.ndim - 1)), y_scale, y_zero)


def _ending(c: Call, x_scale: Any, w: Any, w_scale: Any, y_scale: Any, y_zero: Any, bias: Any) -> Any:
    """Scales, bias and zero point with which a convolution ends in bytes, where they are known and the bytes have no sign."""
    known, zero = [numbers(v) for v in (x_scale, w_scale, y_scale)], numbers(y_zero)
    if any(v is None for v in known) or zero is None or zero.dtype != np.uint8 or zero.size != 1:
        return None
    a, b, y = (np.asarray(v, np.float64).reshape(-1) for v in known)
    outputs: Any = c.tensor(w).shape[:1]
    scale = np.broadcast_to(a * b / y, outputs).astype(np.float32)
    return scale, None if bias is None else c.tensor(bias), c.tensor(zero.reshape(()))


@register("QLinearConv")
def _(c: Call, x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any, y_scale: Any, y_zero: Any, bias: Any = None) -> Any:
    y = conv_integer(c, x, w, x_zero, w_zero, _ending(c, x_scale, w, w_scale, y_scale, y_zero, bias))
    if y.dtype == DType.uint8:
        return y
    if bias is not None:
        y = calculate("add", y, c.tensor(bias).reshape(1, -1, *[1] * (y.ndim - 2)))
    return _requantized(c, y.float() * (c.tensor(x_scale).reshape() * wide(c, w_scale, y.ndim, 1)), y_scale, y_zero)


def _real(c: Call, q: Any, scale: Any, zero: Any) -> Tensor:
    t = c.tensor(q)
    zero = np.zeros((), t.dtype.storage) if zero is None else zero
    return apply("dequantize_linear", t, _one(c, scale), _one(c, zero), axis=0)


def _bytes(c: Call, x: Tensor, scale: Any, zero: Any) -> Tensor:
    return apply("quantize_linear", x, _one(c, scale), _one(c, zero), axis=0)


for _name, _function in (("QLinearAdd", operator.add), ("QLinearMul", operator.mul)):
    register(_name, "com.microsoft")(lambda c, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero=None, f=_function:
                                     _bytes(c, f(_real(c, a, a_scale, a_zero), _real(c, b, b_scale, b_zero)), y_scale,
                                            np.zeros((), c.tensor(a).dtype.storage) if y_zero is None else y_zero))  # fmt: skip


@register("QLinearSigmoid", "com.microsoft")
def _(c: Call, x: Any, x_scale: Any, x_zero: Any, y_scale: Any, y_zero: Any = None) -> Any:
    return _bytes(c, _real(c, x, x_scale, x_zero).sigmoid(), y_scale, np.zeros((), c.tensor(x).dtype.storage) if y_zero is None else y_zero)


@register("QLinearLeakyRelu", "com.microsoft")
def _(c: Call, x: Any, x_scale: Any, x_zero: Any, y_scale: Any, y_zero: Any = None) -> Any:
    y = ops.leaky_relu(_real(c, x, x_scale, x_zero), float(c.get("alpha", 0.01)))
    return _bytes(c, y, y_scale, np.zeros((), c.tensor(x).dtype.storage) if y_zero is None else y_zero)


@register("QLinearGlobalAveragePool", "com.microsoft")
def _(c: Call, x: Any, x_scale: Any, x_zero: Any, y_scale: Any, y_zero: Any) -> Any:
    t = _real(c, x, x_scale, x_zero)
    last = bool(c.get("channels_last", 0))
    return _bytes(c, t.mean(tuple(range(1, t.ndim - 1)) if last else tuple(range(2, t.ndim)), keepdim=True), y_scale, y_zero)


@register("QLinearConcat", "com.microsoft")
def _(c: Call, y_scale: Any, y_zero: Any, *parts: Any) -> Any:
    reals = [_real(c, *parts[i : i + 3]) for i in range(0, len(parts), 3)]
    return _bytes(c, ops.cat(reals, axis_of(c, int(c.get("axis")), reals[0].ndim)), y_scale, y_zero)


@register("QGemm", "com.microsoft")
def _(c: Call, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, bias: Any = None, y_scale: Any = None, y_zero: Any = None) -> Any:
    if c.get("alpha", 1.0) != 1.0 or c.get("transA", 0):
        raise c.refuse("alpha, or a transposed left operand")
    if c.get("transB", 0):
        known = numbers(b)
        b = c.tensor(b).mT if known is None else np.ascontiguousarray(known.T)
    sums = matmul_integer(c, a, b, a_zero, b_zero)
    sums = sums if bias is None else calculate("add", sums, c.tensor(bias))
    y = sums.float() * (c.tensor(a_scale).reshape() * wide(c, b_scale, 2, 1))
    return y if y_zero is None else _requantized(c, y, y_scale, y_zero)


@register("DynamicQuantizeLSTM", "com.microsoft")
def _(c: Call, x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, c0: Any, p: Any, w_scale: Any, w_zero: Any, r_scale: Any, r_zero: Any) -> Any:
    """Recurrent weights as the bytes that they are, where they lie around zero: h is rounded in each step. What the input meets is made float32 again."""
    from .recurrent import imported

    arrays = [np.asarray(c.value(v, "weights")) for v in (w, r)]
    steps, zeros = ([np.asarray(c.value(v, "weights")) for v in both] for both in ((w_scale, r_scale), (w_zero, r_zero)))
    for array, given in zip(arrays, zip(steps, zeros)):
        if array.ndim != 3 or array.dtype.itemsize > 1 or any(v.shape not in ((), (1,), array.shape[:1], (array.shape[0], array.shape[2])) for v in given):
            raise c.bad(f"weights {array.dtype}{array.shape} with scales {given[0].shape} and zero points {given[1].shape}")

    def along(v: np.ndarray, d: int) -> np.ndarray:
        """A direction's numbers: one, or one for each row."""
        return np.ravel(v[d % len(v)] if v.ndim else v)

    def whole(array: np.ndarray, step: np.ndarray, zero: np.ndarray) -> Tensor:
        def fill(out: np.ndarray) -> None:
            for d in range(len(array)):  # a direction at a time
                out[d] = dequantized(array[d], along(step, d), along(zero, d)).T

        return made_of(array, Spec((array.shape[0], array.shape[2], array.shape[1]), DType.float32), fill)

    recurrent, narrow = arrays[1], None
    rows = recurrent.shape[2]
    if rows != 4 * recurrent.shape[1] or arrays[0].shape[::2] != recurrent.shape[::2]:
        raise c.bad(f"weights {arrays[0].shape} and {recurrent.shape}")
    ends = []
    for d in range(len(recurrent) if recurrent.size else 0):  # the least and the most of every row, less its zero point
        zero = along(zeros[1], d).astype(np.int32)
        ends += [f(axis=0).astype(np.int32) - zero for f in (recurrent[d].min, recurrent[d].max)]
    read(recurrent)
    if all(e.min(initial=0) >= -128 and e.max(initial=0) <= 127 for e in ends):

        def direction(d: int, order: np.ndarray) -> tuple[Tensor, Tensor]:
            """W's rows as float32, and R's panels: made when the Plan is written, one gate's numbers after the other."""
            step, zero, size = along(steps[0], d), along(zeros[0], d), arrays[0].shape[1]
            parts = np.split(order, 4)

            def fill(out: np.ndarray) -> None:
                for i, part in enumerate(parts):
                    chosen = [v if v.size == 1 else v[part] for v in (step, zero)]
                    out[i * len(part) : (i + 1) * len(part)] = dequantized(arrays[0][d][:, part], *chosen).T

            def panels(out: np.ndarray) -> None:
                less = along(zeros[1], d)
                q = (recurrent[d].view(np.uint8) - less.astype(np.int64).astype(np.uint8)).view(np.int8).T     # the difference fits, whatever carries
                byte_panels(q, np.broadcast_to(along(steps[1], d).astype(np.float32), rows), 4, order, out)

            return (made_of(arrays[0], Spec((len(order), size), DType.float32), fill),
                    made_of(recurrent, Spec(panel_shape(rows, recurrent.shape[1], 4), DType.int8), panels))  # fmt: skip

        narrow = direction
    both = [whole(*v) for v in zip(arrays, steps, zeros)]
    return imported("lstm", c, x, both[0], both[1], b, lengths, h0, c0, p, narrow)


def dequantized(q: np.ndarray, step: np.ndarray, zero: np.ndarray) -> np.ndarray:
    found = q.astype(np.float32)
    found -= zero.astype(np.float32)
    found *= step.astype(np.float32)
    return found


@register("MatMulNBits", "com.microsoft")
def _(c: Call, x: Any, packed: Any, scales: Any, zeros: Any = None, group: Any = None, bias: Any = None) -> Any:
    bits, block, k, n = (int(c.get(a)) for a in ("bits", "block_size", "K", "N"))
    arrays = [numbers(v) for v in (packed, scales)]
    if bits != 4 or any(a is None for a in arrays) or group is not None:
        raise c.refuse(f"{bits} bits, g_idx, or weights that are computed")
    q, s = (np.asarray(a) for a in arrays)
    nibbles = np.stack([q & 15, q >> 4], -1).reshape(n, -1)[:, :k]
    blocks = -(-k // block)
    offset = np.full((n, blocks), 8, np.float32)
    if zeros is not None:
        z = np.asarray(c.value(zeros, "zero points"))
        offset = (np.stack([z & 15, z >> 4], -1).reshape(n, -1)[:, :blocks]).astype(np.float32) if z.dtype == np.uint8 else z.reshape(n, blocks)
    t, s = c.tensor(x), s.reshape(n, blocks).astype(np.float32)
    level = int(c.get("accuracy_level", 0))
    if block in GROUPS and t.dtype == DType.float32 and _fits(s, offset):
        # accuracy level 4: activations rounded to int8, a scale a row and group, as onnxruntime does where it is asked to
        whole = None if (offset == 8).all() else offset.astype(np.uint8)
        stream = c.tensor(pack_reference(q.reshape(n, blocks, block // 2), s, whole, block))
        operands = (t, stream) if bias is None else (t, stream, c.tensor(bias))
        return apply("matmul_int4", *operands, columns=n, group=block, zero_points=int(whole is not None), compute=COMPUTE["int8" if level == 4 else "float32"])
    columns = np.repeat(np.arange(blocks), block)[:k]
    w = (nibbles.astype(np.float32) - offset[:, columns]) * s[:, columns]
    y = t @ c.tensor(w.astype(np.float32)).mT
    return y if bias is None else y + c.tensor(bias)


def _fits(scales: np.ndarray, zeros: np.ndarray) -> bool:
    """Whether matmul_int4 has these weights exactly: whole zero points, and scales that half precision holds."""
    with np.errstate(over="ignore"):
        return bool((scales.astype(np.float16).astype(np.float32) == scales).all() and (zeros == np.rint(zeros)).all() and ((zeros >= 0) & (zeros < 16)).all())
