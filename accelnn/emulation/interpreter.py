"""Launches of @triton.jit functions in Triton's interpreter, checked: what a GPU would not forgive raises a Violation.

    TRITON_INTERPRET=1 before the kernels' modules are imported, then
    launch(kernel, (rows,), [Pointer.of(x), Pointer.of(y), n], {"BLOCK": 128})"""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .arguments import Pointer
from .memory import Memory
from .violation import Violation

MOST_PROGRAMS = (2**31 - 1, 65535, 65535)


def launch(kernel: Any, grid: Sequence[int], args: Sequence[Any], constants: Mapping[str, Any], warps: int = 4, stages: int = 2,
           backwards: bool = False) -> None:  # fmt: skip
    """Runs every program of the grid. args: the kernel's run-time arguments in order: Pointers, ints, floats, bools and None. constants: its constexprs.
    backwards: the last program first; a kernel whose programs are independent gives the same."""
    name = getattr(kernel, "__name__", str(kernel))
    given = _bind(name, kernel, args, constants)
    sizes = (*grid, *(1,) * (3 - len(grid)))
    if len(sizes) != 3 or not all(0 < n <= most for n, most in zip(sizes, MOST_PROGRAMS)):
        raise Violation(name, f"grid {tuple(grid)}: expected 1 to 3 sizes from 1 to {MOST_PROGRAMS}")
    if warps not in (1, 2, 4, 8, 16, 32) or stages < 1:
        raise Violation(name, f"warps={warps}, stages={stages}: expected a power of two up to 32 and at least one stage")
    memory = Memory(name, [(k, v) for k, v in given.items() if isinstance(v, Pointer)])
    from triton.runtime.errors import InterpreterError

    with np.errstate(all="ignore"), _checked(memory) as builder:
        places = iter(memory.places)
        values = {k: _value(v, places) if k not in constants else v for k, v in given.items()}
        run = kernel.rewrite()
        builder.set_grid_dim(*sizes)
        for program in itertools.product(*(range(n - 1, -1, -1) if backwards else range(n) for n in sizes)):
            memory.begin(program)
            builder.set_grid_idx(*program)
            try:
                run(**values)
            except InterpreterError as e:
                cause = _root(e)
                if isinstance(cause, Violation):
                    raise cause from None
                raise


def _bind(name: str, kernel: Any, args: Sequence[Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter with what it is given, in order."""
    from triton.runtime.interpreter import InterpretedFunction

    if not isinstance(kernel, InterpretedFunction):
        raise TypeError(f"{name} is a {type(kernel).__name__}: expected a @triton.jit function whose module was imported with TRITON_INTERPRET=1")
    names = [n for n in kernel.arg_names if n not in constants]
    unknown = sorted(set(constants) - set(kernel.arg_names))
    if unknown or len(args) != len(names):
        raise TypeError(f"{name}: got {len(args)} arguments and the constants {sorted(constants)}, expected arguments for {names}, no {unknown}")
    run_time = dict(zip(names, args))
    return {n: constants[n] if n in constants else run_time[n] for n in kernel.arg_names}


def _value(value: Any, places: Iterator[int]) -> Any:
    """An argument with the type that the compiled kernel would see: ints of 32 bits where they fit, floats of 32 bits."""
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    if value is None:
        return None
    if isinstance(value, Pointer):
        dtype, data = tl.pointer_type(getattr(tl, value.triton_name)), np.array([next(places)], np.uint64)
    elif isinstance(value, (bool, np.bool_)):
        dtype, data = tl.int1, np.array([value], np.bool_)
    elif isinstance(value, (int, np.integer)):
        number = int(value)
        dtype = tl.int32 if -(2**31) <= number < 2**31 else tl.int64 if -(2**63) <= number < 2**63 else tl.uint64
        data = np.array([number], _NUMPY[dtype.name])
    elif isinstance(value, (float, np.floating)):
        dtype, data = tl.float32, np.array([value], np.float32)
    else:
        raise TypeError(f"a kernel's argument is a {type(value).__name__}: expected Pointer, int, float, bool or None")
    return tl.tensor(TensorHandle(data, dtype), dtype)


_NUMPY = {"int32": np.int32, "int64": np.int64, "uint64": np.uint64}


def _root(error: BaseException) -> BaseException:
    """The first cause: helpers that a kernel calls wrap what they raise, level by level."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _checked(memory: Memory) -> Iterator[Any]:
    """Triton's language on the checked builder; afterwards everything is as it was. The language is patched once, and not again by every helper that a
    kernel calls: those would leave it patched, and take a millisecond each."""
    import triton.language as tl
    from triton.runtime import interpreter as triton_interpreter

    from . import checked

    builder = triton_interpreter.interpreter_builder
    before = {n: getattr(triton_interpreter, n) for n in ("ReduceOps", "ScanOps", "_patch_lang")}
    original, options = builder.__class__, builder.options
    builder.__class__ = checked.Builder
    builder.memory = memory
    # Overflow checks do nothing without debug=True but double the work of integer arithmetic.
    builder.options = dataclasses.replace(options, sanitize_overflow=False)
    triton_interpreter.ReduceOps, triton_interpreter.ScanOps = checked.Reduce, checked.Scan
    scope = triton_interpreter._patch_lang(types.FunctionType((lambda: None).__code__, {"tl": tl, "core": tl.core}))
    # Triton 3.6 takes int() of an array of one element, which numpy 2.4 refuses.
    scope.set_attr(tl.tensor, "__index__", lambda self: self.handle.data.item())
    scope.set_attr(tl.dtype, "to_ir", lambda self, builder: self)  # its own lacks two kinds of float8
    triton_interpreter._patch_lang = lambda fn: types.SimpleNamespace(restore=lambda: None)
    try:
        yield builder
    finally:
        for n, value in before.items():
            setattr(triton_interpreter, n, value)
        scope.restore()
        builder.__class__, builder.options = original, options
        del builder.memory
