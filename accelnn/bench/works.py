"""What can be measured, one row a kind of work: how its inputs are drawn, and how accelnn is called. Shapes are data (shapes.toml), peers have tables of
their own (peers/). A new op needs no line here unless it wants shapes, layouts or peers: cases.py takes the op's samples otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import accelnn as an

from .. import _C
from ..core.dtypes import BFLOAT16, DType, as_dtype
from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.registry import OPS
from ..core.tensor import Tensor, apply, apply_all
from .arrays import empty, normal, placed
from .check import Truth, float64, truth_of

Call = Callable[[], Any]
MATMUL = "M x K x N"


@dataclass
class Inputs:
    """One set of inputs: the op's operands as numpy arrays (None: left out), its attributes, and what a work wants to remember."""

    arrays: list[Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)

    def tensors(self) -> list[Any]:
        return [None if a is None else an.asarray(a) for a in self.arrays]

    def specs(self) -> list[Spec | None]:
        return [None if a is None else Spec(tuple(a.shape), as_dtype(a.dtype)) for a in self.arrays]



@dataclass(frozen=True)
class Work:
    """A kind of work. `draw(rng, shape)` makes Inputs from a shape as it is written in shapes.toml; `ours(inputs)` returns the call that is timed.
    `op`: of a chain of ops in a Plan, the kernel that it comes to. `calls`: how many of the unit the call does (a Plan of 16 products). `peers`: whose
    table of peers is used, if not its own name."""

    name: str
    op: str
    draw: Callable[[np.random.Generator, str], Inputs]
    ours: Callable[[Inputs], Call]
    syntax: str = ""                                     # what a shape says
    peak: str = "fma"                                    # the ceiling of its arithmetic
    calls: int = 1
    peers: str = ""
    truth: Callable[[Inputs], Truth] | None = None       # by the op's row otherwise
    peer_truth: Callable[[Inputs], Truth] | None = None  # where a peer does one unit of a call
    cost: Callable[[Inputs], tuple[float, float]] | None = None
    dtype: str = "f32"
    rivals: dict[str, Callable[[Inputs], Call]] = field(default_factory=dict)      # accelnn's own other ways: dense beside sparse
    plain: bool = True                                   # it is the op on these operands: a kernel of one's own can stand beside it
    eager: bool = True                                   # and `ours` is one call of it: --rows can run its rows
    called: Callable[[Inputs], Inputs] | None = None     # the operands of that call, where weights are packed before

    def right(self, x: Inputs) -> Truth:
        if self.truth:
            return self.truth(x)
        op = OPS[self.op]
        return truth_of(op, x.arrays, x.attrs, [s.dtype for s in op.specs(x.specs(), x.attrs)])

    def right_for_peers(self, x: Inputs) -> Truth:
        return self.peer_truth(x) if self.peer_truth else self.right(x)

    def operands(self, x: Inputs) -> Inputs:
        return self.called(x) if self.called else x

    def costs(self, x: Inputs) -> tuple[float, float]:
        """Floating-point operations, and bytes that have to move once."""
        if self.cost:
            return self.cost(x)
        op, specs = OPS[self.op], x.specs()
        if op.cost:
            flops, moved = op.cost(*specs, **x.attrs)
            return float(flops), float(moved)
        return 0.0, float(sum(_bytes(s) for s in (*specs, *op.specs(specs, x.attrs)) if s is not None))


def _bytes(spec: Spec) -> int:
    return int(np.prod(np.array(spec.shape, np.int64))) * spec.dtype.itemsize


def sizes(text: str, n: int | None = None, syntax: str = "") -> list[int]:
    """'512x768' -> [512, 768]."""
    try:
        found = [int(s) for s in text.split("x")] if text not in ("", "()") else []
    except ValueError:
        found = [-1]
    if any(s < 0 for s in found) or (n is not None and len(found) != n):
        raise ShapeError(f"'{text}' is no shape" + (f"; expected {syntax}" if syntax else ""))
    return found


# Products


def _matmul(rng: np.random.Generator, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    return Inputs([normal(rng, m, k), normal(rng, k, n)])


def _matmul_nk(rng: np.random.Generator, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    return Inputs([normal(rng, m, k), normal(rng, n, k).T])


def _product(x: Inputs) -> Call:
    a, b = x.tensors()
    return lambda: a @ b


def packed_weights(x: Inputs) -> Inputs:
    """The second operand as the kernels read it."""
    a, b, *rest = x.arrays
    panels = _C.View.numpy(apply("matmul_pack", an.asarray(b)).view)
    panels = panels.view(BFLOAT16) if b.dtype == BFLOAT16 else panels
    return Inputs([a, placed(panels), *rest], x.attrs | {"packed": 1, "columns": b.shape[1]})


def called_packed(x: Inputs) -> Call:
    packed = packed_weights(x)
    (a, b), attrs = packed.tensors(), packed.attrs
    return lambda: apply("matmul", a, b, **attrs)


CHAIN = 16  # products in one Plan: what the call of the Plan costs is shared by so many


def _chain(rng: np.random.Generator, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    if k != n:
        raise ShapeError(f"'{text}': a chain of products needs K = N")
    weights = [placed(normal(rng, k, n) / np.float32(np.sqrt(k))) for _ in range(CHAIN)]
    return Inputs([normal(rng, m, k), weights[0]], note={"weights": weights})


def _planned(x: Inputs) -> Call:
    weights = [an.asarray(w) for w in x.note["weights"]]

    def chain(y: Tensor) -> Tensor:
        for w in weights:
            y = y @ w
        return y

    plan, a = an.compile(chain), an.asarray(x.arrays[0])
    return lambda: plan(a)


def _chain_truth(x: Inputs) -> Truth:
    """Errors add up over the products: each errs by gamma_K |y||W|, and what came before is carried on by |W|."""
    y = x.arrays[0].astype(np.float64)
    error, gamma = np.zeros_like(y), 2 * y.shape[1] * float(np.finfo(np.float32).eps)
    for w in x.note["weights"]:
        size = np.abs(w.astype(np.float64))
        error = error @ size + gamma * ((np.abs(y) + error) @ size)
        y = y @ w
    return Truth([y], [error])


def _backward(x: Inputs) -> Call:
    a, b = x.tensors()
    a.requires_grad_(), b.requires_grad_()
    y, dy = a @ b, an.asarray(x.note["dy"])
    return lambda: an.grad_of(y, [a, b], [dy])


def _matmul_dy(rng: np.random.Generator, text: str) -> Inputs:
    x = _matmul(rng, text)
    x.note["dy"] = normal(rng, x.arrays[0].shape[0], x.arrays[1].shape[1])
    return x


def _backward_truth(x: Inputs) -> Truth:
    a, b = map(float64, x.arrays)
    dy, bound = x.note["dy"].astype(np.float64), OPS["matmul"].bound
    assert bound is not None
    return Truth([dy @ b.T, a.T @ dy], [bound(dy, b.T), bound(a.T, dy)])


def _backward_cost(x: Inputs) -> tuple[float, float]:
    (m, k), n = x.arrays[0].shape, x.arrays[1].shape[1]
    return 4.0 * m * k * n, 8.0 * (m * k + k * n + m * n / 2)


# The same way for every op: operands and attributes as they are

CONV = "NxCxHxW:OxCxRxS[:stride=2][:padding=1][:groups=1]"


def _conv2d(rng: np.random.Generator, text: str) -> Inputs:
    from ..ops.conv import geometry

    image, weights, *rest = text.split(":")
    given = dict(part.partition("=")[::2] for part in rest)
    if unknown := set(given) - {"stride", "padding", "dilation", "groups"}:
        raise ShapeError(f"'{text}': {', '.join(unknown)} is no option; expected {CONV}")
    g = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | {k: int(v) for k, v in given.items()}
    return Inputs([normal(rng, *sizes(image, 4, CONV)), normal(rng, *sizes(weights, 4, CONV))], geometry(**g), note=g)


def _conv2d_call(x: Inputs) -> Call:
    a, w = x.tensors()
    g = x.note
    return lambda: an.ops.conv2d(a, w, None, **g)


def _cross_entropy(rng: np.random.Generator, text: str) -> Inputs:
    rows, classes = sizes(text, 2, "rows x classes")
    return Inputs([normal(rng, rows, classes), rng.integers(0, classes, rows)])


def _applied(op: str) -> Callable[[Inputs], Call]:
    def ours(x: Inputs) -> Call:
        tensors, attrs = x.tensors(), x.attrs
        return lambda: apply_all(op, *tensors, **attrs)

    return ours


def drawn(op: str, text: str, rng: np.random.Generator) -> Inputs:
    """Inputs of any op: shapes of its operands joined by `:`, `name=value` for attributes; dtypes, ranges and other attributes as in its samples.
    `*4096` gives every operand that shape, `#3` is the sample with that number, as it stands."""
    samples = list(OPS[op].samples())
    if text.startswith("#"):
        arrays, fixed = samples[int(text[1:])]
        return Inputs([None if a is None else placed(a) for a in arrays], dict(fixed))
    if text.startswith("*"):
        text = ":".join([text[1:]] * len(samples[0][0]))
    parts = text.split(":")
    given = [p for p in parts if "=" not in p]
    sample = next((s for s in samples if len(s[0]) == len(given)), None)
    if sample is None:
        raise ShapeError(f"{op}: '{text}' names {len(given)} operands; its samples have {sorted({len(s[0]) for s in samples})}")
    attrs: dict[str, Any] = dict(sample[1])
    for part in parts:
        name, sign, value = part.partition("=")
        for key in _SHORT.get(name, (name,)) if sign else ():
            numbers = tuple(int(v) for v in value.split("+"))
            attrs[key] = numbers if isinstance(attrs.get(key), tuple) else numbers[0]
    ranges = [[np.asarray(s[0][i]) for s in samples if len(s[0]) == len(given)] for i in range(len(given))]
    return Inputs([_like(np.asarray(x), tuple(sizes(p)), rng, seen) for x, p, seen in zip(sample[0], given, ranges)], attrs)


_SHORT = {"kernel": ("kernel_h", "kernel_w"), "stride": ("stride_h", "stride_w"), "padding": ("pad_top", "pad_left", "pad_bottom", "pad_right")}


def _like(sample: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator, seen: Sequence[np.ndarray]) -> np.ndarray:
    """Values from the range of the samples."""
    ends = [(x.min(), x.max()) for x in seen if x.size] or [(0, 1)]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    if sample.dtype.kind == "f":
        return placed(rng.uniform(float(low), float(high), shape).astype(sample.dtype))
    made = empty(shape, sample.dtype)
    made[...] = rng.integers(int(low), int(high) + 1, shape).astype(sample.dtype)
    return made


def general(op: str) -> Work:
    """The work that every op has."""
    return Work(op, op, lambda rng, text: drawn(op, text, rng), _applied(op), "shapes of the operands joined by `:`, NAME=VALUE for attributes")


_ROWS = (
    Work("matmul", "matmul", _matmul, _product, MATMUL),
    Work("matmul_nk", "matmul", _matmul_nk, _product, f"{MATMUL}, weights stored N x K", peers="matmul"),
    Work("matmul_packed", "matmul", _matmul, called_packed, f"{MATMUL}, weights packed once", called=packed_weights),
    Work("matmul_plan", "matmul", _chain, _planned, f"{MATMUL}, {CHAIN} products in one Plan", calls=CHAIN, peers="matmul", truth=_chain_truth,
         peer_truth=lambda x: truth_of(OPS["matmul"], x.arrays, x.attrs, [DType.float32]), plain=False, eager=False),
    Work("matmul_backward", "matmul", _matmul_dy, _backward, f"{MATMUL}, both gradients", truth=_backward_truth, cost=_backward_cost, plain=False, eager=False),
    Work("conv2d", "conv2d", _conv2d, _conv2d_call, CONV),
    Work("cross_entropy", "cross_entropy", _cross_entropy, _applied("cross_entropy"), "rows x classes"),
)
WORKS: dict[str, Work] = {work.name: work for work in _ROWS}


def add(*works: Work) -> None:
    """Puts works into the table; the other modules of works call it."""
    WORKS.update((work.name, work) for work in works)


def work_named(name: str) -> Work:
    """The row of a work, or of an op that has none of its own."""
    if name in WORKS:
        return WORKS[name]
    if name in OPS and OPS[name].view is None:
        return general(name)
    raise ShapeError(f"nothing to measure is called '{name}'; there are {', '.join(sorted({*WORKS, *(n for n, o in OPS.items() if o.view is None)}))}")


def results(found: Any) -> list[np.ndarray]:
    """What a call returned, as numpy arrays."""
    listed = found if isinstance(found, (tuple, list)) else (found,)
    return [_array(x) for x in listed]


def _array(x: Any) -> np.ndarray:
    if isinstance(x, Tensor):
        return x.numpy()
    if hasattr(x, "detach"):
        x = x.detach()
        return x.float().numpy() if str(x.dtype) == "torch.bfloat16" else x.numpy()
    return np.asarray(x)


__all__ = ["WORKS", "Inputs", "Work", "drawn", "general", "results", "work_named"]
