"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.tensor import Tensor, apply
from ..call import Call, narrowed, register, wide
from ..exact import is_narrow, matrix_product
from ..integer_products import as_matrices


@register("MatMul")
def _(c: Call, a: Any, b: Any) -> Any:
    return product_of(c.tensor(a), c.tensor(b))


def product_of(a: Tensor, b: Tensor) -> Tensor:
    """numpy's matmul, of any dtype."""
    dtype = a.dtype
    if not is_narrow(dtype):
        return as_matrices(a, b, matrix_product)
    return narrowed(as_matrices(wide(a), wide(b), lambda p, q: p @ q), dtype)


@register("Gemm", widened=True)
def _(c: Call, a: Any, b: Any, bias: Any = None) -> Any:
    a, b = c.tensor(a), c.tensor(b)
    y = product_of(a.mT if c.get("transA", 0) else a, b.mT if c.get("transB", 0) else b)
    alpha, beta = float(c.get("alpha", 1.0)), float(c.get("beta", 1.0))
    if alpha != 1:
        y = y * alpha
    if bias is None or beta == 0:
        return y
    bias = c.tensor(bias)
    return y + (bias if beta == 1 else bias * beta)


@register("Einsum", widened=True)
def _(c: Call, *inputs: Any) -> Any:
    """By a chain of products: letters that only one operand has are summed first; then pairs, from the left."""
    left, arrow, right = c.get("equation").replace(" ", "").partition("->")
    terms = left.split(",")
    tensors = [c.tensor(x) for x in inputs]
    if len(terms) != len(tensors):
        raise c.bad(f"{len(terms)} terms for {len(tensors)} operands")
    spare = iter(chr(i) for i in range(0x100, 0x200))
    extra = [next(spare) for _ in range(8)]
    named = []
    for term, t in zip(terms, tensors):
        if "..." in term:
            n = t.ndim - (len(term) - 3)
            term = term.replace("...", "".join(extra[8 - n :]) if n else "")
        if len(term) != t.ndim:
            raise c.bad(f"{term!r} for {t.spec}")
        named.append(term)
    used = [x for x in extra if any(x in n for n in named)]
    if not arrow:
        letters = sorted({x for n in named for x in n if x not in extra})
        right = "".join(used) + "".join(x for x in letters if sum(n.count(x) for n in named) == 1)
    right = right.replace("...", "".join(used))
    named, tensors = zip(*[_diagonal(c, n, t) for n, t in zip(named, tensors)])  # type: ignore[assignment]
    term, y = named[0], tensors[0]
    for i in range(1, len(tensors)):
        later = set("".join(named[i + 1 :])) | set(right)
        term, y = _pair(term, y, named[i], tensors[i], later)
    drop = tuple(i for i, x in enumerate(term) if x not in right)
    if drop:
        y, term = y.sum(drop), "".join(x for x in term if x in right)
    if sorted(term) != sorted(right):
        raise c.bad(f"the result {right!r} names what no operand has")
    return y if term == right else y.permute(tuple(term.index(x) for x in right))


def _diagonal(c: Call, term: str, t: Tensor) -> tuple[str, Tensor]:
    while True:
        twice = next((x for x in term if term.count(x) > 1), None)
        if twice is None:
            return term, t
        i = term.index(twice)
        j = term.index(twice, i + 1)
        n: Any = t.shape[i]
        eye = c.tensor(np.eye(n, dtype=t.dtype.storage).reshape([n if d in (i, j) else 1 for d in range(t.ndim)]))
        t, term = (t * eye).sum(j), term[:j] + term[j + 1 :]


def _pair(a_term: str, a: Tensor, b_term: str, b: Tensor, later: set[str]) -> tuple[str, Tensor]:
    """One product: letters of both that are wanted later are batch dimensions, those that are not are summed over."""
    for own, other, side in ((a_term, b_term, 0), (b_term, a_term, 1)):
        gone = tuple(i for i, x in enumerate(own) if x not in other and x not in later)
        if gone:
            kept = "".join(x for i, x in enumerate(own) if i not in gone)
            if side == 0:
                a, a_term = a.sum(gone), kept
            else:
                b, b_term = b.sum(gone), kept
    batch = [x for x in a_term if x in b_term and x in later]
    summed = [x for x in a_term if x in b_term and x not in later]
    rows, columns = [x for x in a_term if x not in b_term], [x for x in b_term if x not in a_term]

    def size(x: str) -> Any:
        return a.shape[a_term.index(x)] if x in a_term else b.shape[b_term.index(x)]

    def arranged(t: Tensor, term: str, order: list[str]) -> Tensor:
        return t.permute(tuple(term.index(x) for x in order))

    if not summed:
        both = [*batch, *rows, *columns]
        return "".join(both), (arranged(a, a_term, [*batch, *rows]).reshape(*map(size, [*batch, *rows]), *[1] * len(columns))
                               * arranged(b, b_term, [*batch, *columns]).reshape(*map(size, batch), *[1] * len(rows), *map(size, columns)))  # fmt: skip

    def joined(letters: list[str]) -> Any:
        n: Any = 1
        for x in letters:
            n = n * size(x)
        return n

    left = arranged(a, a_term, [*batch, *rows, *summed]).reshape(*map(size, batch), joined(rows), joined(summed))
    right = arranged(b, b_term, [*batch, *summed, *columns]).reshape(*map(size, batch), joined(summed), joined(columns))
    order = [*batch, *rows, *columns]
    return "".join(order), product_of(left, right).reshape(*map(size, order))


@register("FusedMatMul", "com.microsoft", widened=True)
def _(c: Call, a: Any, b: Any) -> Any:
    a, b = c.tensor(a), c.tensor(b)
    y = (a.mT if c.get("transA", 0) else a) @ (b.mT if c.get("transB", 0) else b)
    alpha = float(c.get("alpha", 1.0))
    return y if alpha == 1 else y * alpha


@register("Det", widened=True)
def _(c: Call, x: Any) -> Any:
    """By elimination of small, known sizes."""
    x = c.tensor(x)
    n = x.shape[-1]
    if n not in (1, 2, 3):
        raise c.refuse(f"matrices of {n} rows")

    def at(i: int, j: int) -> Tensor:
        return apply("slice", apply("slice", x, axis=x.ndim - 2, start=i, length=1, step=1), axis=x.ndim - 1, start=j, length=1, step=1).reshape(*x.shape[:-2])

    if n == 1:
        return at(0, 0)
    if n == 2:
        return at(0, 0) * at(1, 1) - at(0, 1) * at(1, 0)
    return (at(0, 0) * (at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)) - at(0, 1) * (at(1, 0) * at(2, 2) - at(1, 2) * at(2, 0))
            + at(0, 2) * (at(1, 0) * at(2, 1) - at(1, 1) * at(2, 0)))  # fmt: skip
