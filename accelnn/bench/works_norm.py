"""Normalization, softmax and cross-entropy, forward and backward. Beyond the caches their limit is the copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import ShapeError
from ..core.registry import OPS
from ..core.tensor import apply_all
from .arrays import normal, placed
from .works import Call, Inputs, Work, add, drawn, sizes

ROWS, IMAGES = "R...xD", "NxCx...[:groups=32]"


def _image(text: str) -> tuple[list[int], int]:
    """Sizes and groups."""
    shape, *rest = text.split(":")
    given = dict(part.partition("=")[::2] for part in rest)
    found = sizes(shape, None, IMAGES)
    if len(found) < 2 or set(given) - {"groups"}:
        raise ShapeError(f"'{text}' is no shape; expected {IMAGES}")
    return found, int(given.get("groups", min(found[1], 8)))


def _rows(op: str) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        s = sizes(text, None, ROWS)
        bias = [] if op == "rms_norm" else [normal(rng, s[-1])]
        return Inputs([normal(rng, *s), normal(rng, s[-1]), *bias], {"dims": 1, "eps": 1e-5})

    return draw


def _images(op: str) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        s, groups = _image(text)
        x, w, b = normal(rng, *s), normal(rng, s[1]), normal(rng, s[1])
        if op == "batch_norm_infer":
            return Inputs([x, normal(rng, s[1]), placed(rng.uniform(0.5, 2, s[1]).astype(np.float32)), w, b], {"eps": 1e-5})
        return Inputs([x, w, b], {"eps": 1e-5} | ({"groups": groups} if op == "group_norm" else {}))

    return draw


def _saved(op: str, forward: Any) -> Any:
    """Inputs of a gradient op: what the forward op keeps, as float64 gives it."""
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        x = forward(rng, text)
        found = OPS[op].reference(*(a.astype(np.float64) for a in x.arrays), **x.attrs)
        rstd, mean = (placed(np.asarray(a, np.float32)) for a in (*found[1:3], found[1])[:2])
        params = {} if op == "batch_norm" else {"params": len(x.arrays) - 1}
        return Inputs([normal(rng, *x.arrays[0].shape), x.arrays[0], rstd, None if op == "rms_norm" else mean, x.arrays[1]], x.attrs | params)

    return draw


def _plain(op: str) -> Any:
    return lambda rng, text: drawn(op, text, rng)


def _softmax_grad(log: bool) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        s = sizes(text, None, ROWS)
        y = OPS["log_softmax" if log else "softmax"].reference(normal(rng, *s).astype(np.float64))
        return Inputs([normal(rng, *s), placed(y.astype(np.float32))])

    return draw


def _along(rng: np.random.Generator, text: str) -> Inputs:
    return Inputs([normal(rng, *sizes(text, None, "NxCx..."))], {"axis": 1, "log": 0})


def _labelled(rng: np.random.Generator, text: str) -> Inputs:
    s = sizes(text, None, "NxCx...")
    labels = placed(rng.integers(0, s[1], (s[0], *s[2:])))
    return Inputs([normal(rng, *s), labels, None], {"ignore_index": -100, "label_smoothing": 0.0, "reduction": 1, "log_input": 0})


def _labelled_grad(rng: np.random.Generator, text: str) -> Inputs:
    x = _labelled(rng, text)
    found = OPS["cross_entropy"].reference(x.arrays[0].astype(np.float64), *x.arrays[1:], **x.attrs)
    return Inputs([*x.arrays[:2], np.ones((), np.float32), *(placed(np.asarray(a, np.float32)) for a in found[1:]), None], x.attrs)


def _applied(op: str) -> Any:
    def ours(x: Inputs) -> Call:
        tensors, attrs = x.tensors(), x.attrs
        return lambda: apply_all(op, *tensors, **attrs)

    return ours


def _work(op: str, draw: Any, syntax: str) -> Work:
    return Work(op, op, draw, _applied(op), syntax, peak="copy")


for _op in ("layer_norm", "rms_norm"):
    add(_work(_op, _rows(_op), ROWS), _work(f"{_op}_grad", _saved(_op, _rows(_op)), ROWS))
for _op in ("batch_norm", "group_norm"):
    add(_work(_op, _images(_op), IMAGES), _work(f"{_op}_grad", _saved(_op, _images(_op)), IMAGES))
for _op in ("softmax", "log_softmax"):
    add(_work(_op, _plain(_op), ROWS))
add(_work("batch_norm_infer", _images("batch_norm_infer"), IMAGES),
    _work("softmax_grad", _softmax_grad(False), ROWS), _work("log_softmax_grad", _softmax_grad(True), ROWS), _work("softmax_axis", _along, "NxCx..."),
    _work("cross_entropy", _labelled, "NxCx..."), _work("cross_entropy_grad", _labelled_grad, "NxCx..."))
