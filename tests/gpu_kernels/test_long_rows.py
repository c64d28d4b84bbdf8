"""Calls beyond the samples: axes that are cut into pieces, and NaN and infinity among their elements, on the device "emu"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn.core.registry import OPS

from ..contracts.contract import Sample
from .test_rows import TableRow, kernel_of, rows_of, test_row_meets_its_contract as meets_its_contract

LONG = 20000  # three pieces


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def after(op: str, *inputs: Any, **attrs: Any) -> tuple[np.ndarray, ...]:
    """What a forward op leaves for its gradient, from the reference."""
    found = OPS[op].reference(*(None if v is None else v if v.dtype.kind in "iu" else v.astype(np.float64) for v in inputs), **attrs)
    return tuple(np.asarray(f, np.float32) for f in (found if isinstance(found, tuple) else (found,)))


def long_samples() -> list[Sample]:
    x, dy, w, b = drawn(0, (3, LONG), (3, LONG), (LONG,), (LONG,))
    x += 3
    inner, dinner = drawn(1, (2, 700, 5), (2, 700, 5))
    planes, dplanes, cw, cb = drawn(2, (2, 4, 90, 60), (2, 4, 90, 60), (4,), (4,))
    many, dmany, mw = drawn(3, (300, 70), (300, 70), (70,))
    labels = np.array([5, -100, LONG - 1])
    found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    for name in ("softmax", "log_softmax"):
        found += [(name, (x,), {}), (f"{name}_grad", (dy, *after(name, x)), {})]
    for log in (0, 1):
        found += [("softmax_axis", (inner,), {"axis": 1, "log": log}),
                  ("softmax_axis_grad", (dinner, *after("softmax_axis", inner, axis=1, log=log)), {"axis": 1, "log": log})]  # fmt: skip
    rows: dict[str, Any] = {"dims": 1, "eps": 1e-5}
    _, rstd, mean = after("layer_norm", x, **rows)
    found += [("layer_norm", (x, w, b), rows), ("layer_norm_grad", (dy, x, rstd, mean, w), {**rows, "params": 2}), ("rms_norm", (x, w), rows),
              ("rms_norm_grad", (dy, x, after("rms_norm", x, **rows)[1], None, w), {**rows, "params": 1})]  # fmt: skip
    _, rstd, mean = after("layer_norm", many, **rows)
    found += [("layer_norm_grad", (dmany, many, rstd, mean, mw), {**rows, "params": 2})]
    groups: dict[str, Any] = {"groups": 1, "eps": 1e-5}
    _, rstd, mean = after("group_norm", planes, **groups)
    found += [("group_norm", (planes, cw, cb), groups), ("group_norm_grad", (dplanes, planes, rstd, mean, cw), {**groups, "params": 2})]
    _, rstd, mean, _ = after("batch_norm", planes, eps=1e-5)
    found += [("batch_norm", (planes, cw, cb), {"eps": 1e-5}), ("batch_norm_grad", (dplanes, planes, rstd, mean, cw), {"eps": 1e-5})]
    for smooth in (0.0, 0.1):
        attrs = {"reduction": 1, "label_smoothing": smooth}
        loss, total, top, sums = after("cross_entropy", x, labels, np.abs(w), **attrs)
        found += [("cross_entropy", (x, labels, np.abs(w)), attrs),
                  ("cross_entropy_grad", (x, labels, np.float32(0.7), total, top, sums, np.abs(w)), attrs)]  # fmt: skip
    found += [("cross_entropy", (np.log(after("softmax", x)[0]), labels, None), {"log_input": 1, "label_smoothing": 0.2})]
    for kind in ("sum", "mean", "max", "min"):
        found += [(kind, (x,), {"axes": (0, 1), "keepdim": False}), (kind, (planes,), {"axes": (0, 2), "keepdim": True})]
    found += [("prod", (1 + many[:2] / 100,), {"axes": (0, 1), "keepdim": False})]
    for exclusive, reverse in ((False, False), (True, True)):
        flags = {"exclusive": exclusive, "reverse": reverse}
        found += [("cumsum", (x,), {"axis": 1, **flags}), ("cumprod", (1 + inner / 100,), {"axis": 1, **flags})]
    found += [("cumsum", (np.arange(2 * LONG).reshape(2, LONG) * 10**11,), {"axis": 1, "exclusive": True, "reverse": False})]
    ties = np.round(x)
    for last in (False, True):
        found += [("argmax", (ties,), {"axis": 1, "keepdim": False, "least": not last, "last": last}),
                  ("argmax", (inner,), {"axis": 1, "keepdim": True, "least": last, "last": last})]  # fmt: skip
    found += [("topk", (np.round(x[:1, :1300]),), {"k": k, "largest": largest}) for k, largest in ((3, True), (700, False), (1300, True))]
    return [Sample(OPS[name], f"{name}-long-{i}", tuple(None if a is None else np.ascontiguousarray(a) if np.ndim(a) else np.asarray(a) for a in arrays), attrs)
            for i, (name, arrays, attrs) in enumerate(found)]  # fmt: skip


def row_for(sample: Sample) -> TableRow:
    """The first row of the table for the sample's dtype."""
    from .test_rows import fits

    return next(r for r in rows_of(kernel_of(sample.op)) if fits(sample, r))


@pytest.mark.parametrize("sample", [pytest.param(s, id=s.name) for s in long_samples()])
def test_pieces_meet_the_contract(sample: Sample) -> None:
    meets_its_contract(sample, row_for(sample))
