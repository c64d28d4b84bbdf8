"""Products and attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ..call import Call, register


@register("MatMul")
def _(c: Call, a: Any, b: Any) -> Any:
    return product_of(c.tensor(a), c.tensor(b))


def product_of(a: Tensor, b: Tensor) -> Tensor:
    """numpy's matmul: vectors become a row, or a column, and their dimension of 1 goes again."""
    row, column = a.ndim == 1, b.ndim == 1
    dtype = a.dtype
    a, b = a.float() if dtype == DType.float16 else a, b.float() if dtype == DType.float16 else b
    y = (a.unsqueeze(0) if row else a) @ (b.unsqueeze(1) if column else b)
    y = y.squeeze(y.ndim - 1) if column else y
    y = y.squeeze(y.ndim - (1 if column else 2)) if row else y
    return y.to(dtype)


@register("Gemm")
def _(c: Call, a: Any, b: Any, bias: Any = None) -> Any:
    a, b = c.tensor(a), c.tensor(b)
    y = (a.mT if c.get("transA", 0) else a) @ (b.mT if c.get("transB", 0) else b)
    alpha, beta = float(c.get("alpha", 1.0)), float(c.get("beta", 1.0))
    if alpha != 1:
        y = y * alpha
    if bias is None or beta == 0:
        return y
    bias = c.tensor(bias)
    return y + (bias if beta == 1 else bias * beta)


@register("Einsum")
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
        eye = c.tensor(np.eye(n, dtype=np.float32).reshape([n if d in (i, j) else 1 for d in range(t.ndim)]))
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
    return "".join(order), (left @ right).reshape(*map(size, order))


@register("RotaryEmbedding")
def _(c: Call, x: Any, cos: Any, sin: Any, position: Any = None) -> Any:
    x, cos, sin = c.tensor(x), c.tensor(cos), c.tensor(sin)
    if c.get("rotary_embedding_dim", 0):
        raise c.refuse("rotary_embedding_dim")
    return ops.rope(x, cos, sin, None if position is None else c.tensor(position), bool(c.get("interleaved", 0)), int(c.get("num_heads", 0)))


@register("Attention")
def _(c: Call, q: Any, k: Any, v: Any, mask: Any = None, past_key: Any = None, past_value: Any = None, lengths: Any = None) -> Any:
    if c.get("softcap", 0.0) or c.wants(3) or lengths is not None or c.get("qk_matmul_output_mode", 0) or c.get("softmax_precision", 1) not in (1,):
        raise c.refuse("softcap, the score output, nonpad_kv_seqlen and softmax_precision")
    q, k, v = (c.tensor(t) for t in (q, k, v))
    flat = q.ndim == 3
    if flat:
        heads, kv_heads = int(c.get("q_num_heads")), int(c.get("kv_num_heads"))
        q, k, v = (t.reshape(t.shape[0], t.shape[1], n, -1).transpose(1, 2) for t, n in ((q, heads), (k, kv_heads), (v, kv_heads)))
    offset = 0
    if past_key is not None:
        past_key, past_value = c.tensor(past_key), c.tensor(past_value)
        offset = past_key.shape[2]
        k, v = ops.cat([past_key, k], 2), ops.cat([past_value, v], 2)
    causal = bool(c.get("is_causal", 0))
    if causal and not isinstance(offset, int):
        raise c.refuse("is_causal with a past of unknown length")
    if causal and offset:
        raise c.refuse("is_causal with a past")
    mask = None if mask is None else c.tensor(mask)
    if mask is not None and mask.dtype not in (DType.bool, DType.float32):
        raise c.refuse(f"a mask of {mask.dtype.name}")
    y = ops.scaled_dot_product_attention(q, k, v, mask, 0.0, causal, c.get("scale", None), q.shape[1] != k.shape[1])
    if flat:
        y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return (y, k, v)[: max(1, len(c.outputs))]


@register("MatMulInteger")
def _(c: Call, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    """u8 or s8 by s8, exact in float32 products of up to 2^24."""
    from .quantized import centred

    x, w = centred(c, a, a_zero, -1), centred(c, b, b_zero, -2)
    depth: Any = x.shape[-1]
    if not isinstance(depth, int) or depth * 255 * 255 > 1 << 24:
        raise c.refuse(f"{depth} terms: their sum need not fit float32")
    return (x @ w).to(DType.int32)



@register("FusedMatMul", "com.microsoft")
def _(c: Call, a: Any, b: Any) -> Any:
    a, b = c.tensor(a), c.tensor(b)
    y = (a.mT if c.get("transA", 0) else a) @ (b.mT if c.get("transB", 0) else b)
    alpha = float(c.get("alpha", 1.0))
    return y if alpha == 1 else y * alpha


@register("Det")
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
