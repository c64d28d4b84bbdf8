"""Triton's interpreter with every access checked and with the arithmetic that it lacks: bfloat16 and float8 (the original calculates with their bits as
integers), one rounding where hardware rounds once, NaNs as fmin and fmax treat them, tf32 where a dot asks for it. Imports triton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton._C.libtriton import ir
from triton.runtime import interpreter as triton_interpreter

from .memory import Memory
from .narrow import float8_table, round_bfloat16, round_float8, widen_bfloat16
from .poison import poison, poisoned

Handle = triton_interpreter.TensorHandle
FLOAT8 = {"fp8e4nv": "float8e4nv", "fp8e5": "float8e5", "fp8e4b8": "float8e4b8", "fp8e5b16": "float8e5b16"}


def wide(data: np.ndarray, dtype: Any) -> np.ndarray:
    """Numbers to calculate with: float32 for the types that numpy lacks."""
    if dtype == tl.bfloat16:
        return widen_bfloat16(data)
    if dtype.name in FLOAT8:
        return np.take(float8_table(FLOAT8[dtype.name]), data)
    return data


def stored(x: np.ndarray, dtype: Any, toward_zero: bool = False) -> np.ndarray:
    """Calculated numbers as they are stored."""
    if dtype == tl.bfloat16:
        return round_bfloat16(x, toward_zero)
    if dtype.name in FLOAT8:
        return round_float8(x, FLOAT8[dtype.name])
    out: np.ndarray = x.astype(triton_interpreter._get_np_dtype(dtype))
    if toward_zero and out.dtype.itemsize < x.dtype.itemsize and dtype.is_floating():
        over = np.abs(out.astype(x.dtype)) > np.abs(x)
        out = np.where(over, np.nextafter(out, out.dtype.type(0)), out)
    return out


def is_narrow(dtype: Any) -> bool:
    return dtype == tl.bfloat16 or dtype.name in FLOAT8


def ignoring_nans(choose: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """fmin or fmax, which return the operand that is a number; poison is not passed over."""

    def op(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = choose(x, y)
        bad = poisoned(x) | poisoned(y)
        return np.where(bad, poison(out.dtype), out).astype(out.dtype) if bad.any() else out

    return op


def tf32(x: np.ndarray) -> np.ndarray:
    """What tensor cores see of a float32 operand: the lower 13 bits are not looked at."""
    return (np.ascontiguousarray(x).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


class Builder(triton_interpreter.InterpreterBuilder):  # type: ignore[misc]
    """The interpreter's builder while a checked launch runs: its one instance becomes one of these (interpreter.py)."""

    memory: Memory

    # memory

    def _real(self, kind: str, ptrs: Any, mask: Any) -> tuple[Any, np.ndarray]:
        given = np.True_ if mask is None else mask if isinstance(mask, np.ndarray) else mask.data
        nbytes = max(1, ptrs.get_element_ty().primitive_bitwidth // 8)
        lanes = np.ascontiguousarray(np.broadcast_to(given, ptrs.data.shape))
        return Handle(self.memory.access(kind, ptrs.data, lanes, nbytes), ptrs.dtype), lanes

    def create_masked_load(self, ptrs: Any, mask: Any, other: Any, *rest: Any, **more: Any) -> Any:
        real, lanes = self._real("load", ptrs, mask)
        dtype = ptrs.get_element_ty()
        numpy = triton_interpreter._get_np_dtype(dtype)
        fill = np.broadcast_to(poison(numpy, dtype.name) if other is None else other.data, real.data.shape)
        return Handle(triton_interpreter._interpreter.load(real.data, lanes, np.ascontiguousarray(fill, numpy), numpy), dtype)

    def create_masked_store(self, ptrs: Any, value: Any, mask: Any, *rest: Any, **more: Any) -> Any:
        real, lanes = self._real("store", ptrs, mask)
        return triton_interpreter._interpreter.store(real.data, np.ascontiguousarray(np.broadcast_to(value.data, lanes.shape)), lanes)

    def _ordered(self, ptr: Any, lanes: np.ndarray, sem: Any, act: Callable[[], Any]) -> Any:
        """An atomic between what it acquires and what it releases."""
        addresses = [int(a) for a in ptr.data[lanes].reshape(-1)] if sem != ir.MEM_SEMANTIC.RELAXED else []
        if sem != ir.MEM_SEMANTIC.RELEASE:
            for a in addresses:
                self.memory.acquire(a)
        out = act()
        if addresses and sem != ir.MEM_SEMANTIC.ACQUIRE:
            for a in addresses:
                self.memory.release(a)
        if addresses:
            self.memory.barrier()
        return out

    def create_atomic_rmw(self, op: Any, ptr: Any, val: Any, mask: Any, sem: Any, scope: Any) -> Any:
        if is_narrow(ptr.get_element_ty()):
            raise self.memory.fault(f"atomic {op} on {ptr.get_element_ty()}: expected float32, float16 or integers")
        real, lanes = self._real("atomic", ptr, mask)
        return self._ordered(real, lanes, sem, lambda: super(Builder, self).create_atomic_rmw(op, real, val, Handle(lanes, tl.int1), sem, scope))

    def create_atomic_cas(self, ptr: Any, cmp: Any, val: Any, sem: Any, scope: Any) -> Any:
        real, lanes = self._real("atomic", ptr, None)
        return self._ordered(real, lanes, sem, lambda: super(Builder, self).create_atomic_cas(real, cmp, val, sem, scope))

    def create_barrier(self, *rest: Any, **more: Any) -> None:
        self.memory.barrier()

    # arithmetic

    def binary_op(self, lhs: Any, rhs: Any, op: Callable[..., np.ndarray]) -> Any:
        dtype = lhs.dtype.scalar
        if not is_narrow(dtype):
            return super().binary_op(lhs, rhs, op)
        out = op(wide(lhs.data, dtype), wide(rhs.data, rhs.dtype.scalar))
        return Handle(out, tl.int1) if out.dtype == bool else Handle(stored(out, dtype), dtype)

    def create_minnumf(self, lhs: Any, rhs: Any) -> Any:
        return self.binary_op(lhs, rhs, ignoring_nans(np.fmin))

    def create_maxnumf(self, lhs: Any, rhs: Any) -> Any:
        return self.binary_op(lhs, rhs, ignoring_nans(np.fmax))

    def create_clampf(self, arg: Any, lo: Any, hi: Any, propagate_nans: Any) -> Any:
        if propagate_nans == ir.PROPAGATE_NAN.NONE:
            return self.create_minnumf(self.create_maxnumf(arg, lo), hi)
        return self.binary_op(self.binary_op(arg, lo, np.maximum), hi, np.minimum)

    def create_fma(self, x: Any, y: Any, z: Any) -> Any:
        # The product of two float32 is exact in float64; the sum rounds twice in one case of 2^29.
        dtype = z.dtype.scalar
        a, b, c = (wide(h.data, h.dtype.scalar).astype(np.float64) for h in (x, y, z))
        return Handle(stored((a * b + c).astype(np.float32) if is_narrow(dtype) else a * b + c, dtype), dtype)

    def unary_op(self, arg: Any, op: Callable[..., np.ndarray]) -> Any:
        dtype = arg.dtype.scalar
        return Handle(stored(op(wide(arg.data, dtype)), dtype), dtype) if is_narrow(dtype) else super().unary_op(arg, op)

    def create_fabs(self, arg: Any) -> Any:
        dtype = arg.dtype.scalar
        sign = 1 << dtype.primitive_bitwidth - 1
        return Handle(arg.data & arg.data.dtype.type(sign - 1), dtype) if is_narrow(dtype) else self.unary_op(arg, np.abs)

    def create_rsqrt(self, arg: Any) -> Any:
        return self.unary_op(arg, lambda x: x.dtype.type(1) / np.sqrt(x))

    def cast_impl(self, src: Any, dst_type: Any) -> Any:
        source, target = src.dtype.scalar, dst_type.scalar
        if not (is_narrow(source) or is_narrow(target)):
            return super().cast_impl(src, dst_type)
        return Handle(stored(wide(src.data, source), target), target)

    def create_fp_to_fp(self, src: Any, dst_type: Any, rounding_mode: Any) -> Any:
        target = dst_type.scalar
        return Handle(stored(wide(src.data, src.dtype.scalar), target, rounding_mode == ir.ROUNDING_MODE.RTZ), target)

    def create_dot(self, a: Any, b: Any, d: Any, input_precision: Any, max_num_imprecise_acc: Any) -> Any:
        x, y = wide(a.data, a.dtype.scalar), wide(b.data, b.dtype.scalar)
        if x.dtype == np.float32 and a.dtype.scalar == tl.float32 and input_precision == ir.INPUT_PRECISION.TF32:
            x, y = tf32(x), tf32(y)
        accumulator = d.dtype.scalar
        # Integers in float64, which is exact here and which BLAS knows, in contrast to integers.
        kind = np.float64 if accumulator.is_int() or accumulator == tl.float64 else np.float32
        product = np.matmul(x.astype(kind, copy=False), y.astype(kind, copy=False))
        if accumulator.is_int():
            return Handle(product.astype(d.data.dtype) + d.data, accumulator)
        return Handle(stored(product + wide(d.data, accumulator).astype(kind, copy=False), accumulator), accumulator)

    # constants

    def get_bf16(self, value: float) -> Any:
        return Handle(round_bfloat16(np.array([value], np.float32)), tl.bfloat16)

    def get_all_ones_value(self, dtype: Any) -> Any:
        numpy = triton_interpreter._get_np_dtype(dtype)
        return Handle(~np.zeros(1, numpy), dtype.scalar)


class Reduce(triton_interpreter.ReduceOps):  # type: ignore[misc]
    """Reductions of narrow floats, and of poison."""

    def sum(self, input: Any) -> Any:
        dtype = input.dtype.scalar
        if not (is_narrow(dtype) or dtype == tl.float16):
            return super().sum(input)
        # In pairs, each sum rounded to the type, as lanes add to lanes.
        x = input.handle.data.reshape(-1) if self.axis is None else np.moveaxis(input.handle.data, self.axis, 0)
        while x.shape[0] > 1:
            half = x.shape[0] // 2
            x = stored(wide(x[:half], dtype) + wide(x[half:], dtype), dtype)
        out = x[0]
        if self.keep_dims:
            out = out.reshape((1,) * input.handle.data.ndim) if self.axis is None else np.expand_dims(out, self.axis)
        return self.to_tensor(out, dtype)

    def min_max(self, input: Any, val_reduce_op: Any, idx_reduce_op: Any = None) -> Any:
        x = input[0] if isinstance(input, tuple) else input
        dtype = x.dtype.scalar
        if is_narrow(dtype):
            found = super().min_max(self.to_tensor(wide(x.handle.data, dtype), tl.float32), val_reduce_op, idx_reduce_op)
            value = found[0] if isinstance(found, tuple) else found
            back = self.to_tensor(stored(value.handle.data, dtype), dtype)
            return (back, found[1]) if isinstance(found, tuple) else back
        found = super().min_max(input, val_reduce_op, idx_reduce_op)
        bad = poisoned(x.handle.data)
        if bad.any():
            value = (found[0] if isinstance(found, tuple) else found).handle
            where = bad.any(axis=self.axis, keepdims=self.keep_dims)
            value.data = np.where(where, poison(value.data.dtype), value.data).astype(value.data.dtype)
        return found


class Scan(triton_interpreter.ScanOps):  # type: ignore[misc]
    """Scans of narrow floats, each partial result rounded to the type."""

    def _in_order(self, input: Any, op: Callable[..., np.ndarray]) -> list[Any]:
        dtype = input.dtype.scalar
        x = np.moveaxis(input.handle.data, self.axis, 0)
        out = x.copy()
        for i in range(1, len(x)):
            out[i] = stored(op(wide(out[i - 1], dtype), wide(x[i], dtype)), dtype)
        return [self.to_tensor(np.moveaxis(out, 0, self.axis), dtype)]

    def cumsum(self, input: Any) -> Any:
        return self._in_order(input, np.add) if is_narrow(input.dtype.scalar) else super().cumsum(input)

    def cumprod(self, input: Any) -> Any:
        return self._in_order(input, np.multiply) if is_narrow(input.dtype.scalar) else super().cumprod(input)
