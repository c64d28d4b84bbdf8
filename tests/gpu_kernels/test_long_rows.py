"""Calls beyond the samples: axes that are cut into pieces, and NaN and infinity among their elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn.core.graph import Spec
from accelnn.core.registry import OPS
from accelnn.core.remote import Remote, device_named
from accelnn.core.remote_call import DeviceCall, TableRow, attributes, kernel_of, rows_of

from ..contracts.contract import Sample
from ..contracts.drawn import after, drawn
from .test_rows import fits, on, test_row_meets_its_contract as meets_its_contract
from .where import DEVICE

LONG = 20000  # three pieces


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
    return next(r for r in rows_of(kernel_of(sample.op)) if fits(sample, r))


@pytest.mark.parametrize("sample", [pytest.param(s, id=s.name) for s in long_samples()])
def test_pieces_meet_the_contract(sample: Sample) -> None:
    meets_its_contract(sample, row_for(sample))


def on_device(op: str, *arrays: np.ndarray, **attrs: Any) -> list[np.ndarray]:
    """Results of an op's first row for the first operand's dtype."""
    sample = Sample(OPS[op], op, arrays, attrs)
    device = device_named(DEVICE)
    views = [on(device, a) for a in arrays]
    outputs = sample.op.specs([Spec(v.shape, v.dtype) for v in views], attrs)
    made = [Remote.empty(device, s.shape, s.dtype) for s in outputs]
    row_for(sample).row.run(DeviceCall(device, views, made, attributes(sample.op, attrs, len(views))))
    return [m.numpy() for m in made]


@pytest.mark.parametrize("n", [7, LONG])
@pytest.mark.parametrize("log", [0, 1])
def test_softmax_of_what_is_no_number(n: int, log: int) -> None:
    x = drawn(4, (6, n))[0]
    masked = n * 5 // 7  # all of a piece, and of some of the lanes
    x[0, 3], x[1, 5], x[2], x[3, ::2], x[5, :masked] = np.nan, np.inf, -np.inf, -np.inf, -np.inf
    (y,) = on_device("log_softmax" if log else "softmax", x)
    assert np.isnan(y[:3]).all()
    nothing = -np.inf if log else 0
    assert (y[3, ::2] == nothing).all() and np.isfinite(y[3, 1::2]).all() and np.isfinite(y[4]).all()
    total = np.exp(y[5].astype(np.float64)).sum() if log else y[5].sum(dtype=np.float64)
    assert (y[5, :masked] == nothing).all() and abs(total - 1) < 1e-4


@pytest.mark.parametrize("n", [7, LONG])
def test_reductions_of_what_is_no_number(n: int) -> None:
    x = drawn(5, (3, n))[0]
    x[0, 4], x[1, 2] = np.nan, np.inf
    for kind, want in (("max", x.max(1)), ("min", x.min(1)), ("sum", x.sum(1)), ("prod", np.array([np.nan, np.nan, 0]))):
        (y,) = on_device(kind, x, axes=(1,), keepdim=False)
        assert np.isnan(y[0]) and np.isfinite(y[2])
        if kind in ("max", "min"):
            assert np.array_equal(y, want, equal_nan=True)
        if kind == "sum":
            assert y[1] == np.inf


def test_norms_of_what_is_no_number() -> None:
    for n in (9, LONG):
        x = drawn(6, (3, n))[0]
        x[0, 2], x[1, 5] = np.nan, np.inf
        y, rstd, mean = on_device("layer_norm", x, dims=1, eps=1e-5)
        assert np.isnan(y[:2]).all() and np.isfinite(y[2]).all() and np.isfinite(rstd[2]) and np.isfinite(mean[2])
    planes = drawn(7, (2, 3, 40))[0]
    planes[1, 1, 7] = np.nan
    y = on_device("batch_norm", planes, eps=1e-5)[0]
    assert np.isnan(y[:, 1]).all() and np.isfinite(y[:, ::2]).all()


@pytest.mark.parametrize("n", [40, LONG])
def test_order_of_what_is_no_number(n: int) -> None:
    x = np.round(drawn(8, (3, n))[0])
    x[0, [9, 20]], x[1, 1], x[1, 5], x[2, 0] = np.nan, np.inf, -np.inf, -0.0
    for least in (False, True):
        (first,) = on_device("argmax", x, axis=1, keepdim=False, least=least, last=False)
        (last,) = on_device("argmax", x, axis=1, keepdim=False, least=least, last=True)
        assert (first[0], last[0]) == (9, 20)
        assert first[1] == (5 if least else 1) and first[2] == (np.argmin(x[2]) if least else np.argmax(x[2]))
    part = x[:, :40].copy()
    values, places = on_device("topk", part, k=40, largest=True)
    assert list(places[0, :2]) == [9, 20] and np.isnan(values[0, :2]).all()
    ascending, where = on_device("topk", part, k=40, largest=False)
    assert list(where[0, -2:]) == [9, 20] and np.array_equal(where[2], np.argsort(part[2] + 0.0, kind="stable"))
    assert np.array_equal(ascending[2], part[2, where[2]])


def test_a_label_that_is_none_makes_its_place_nan() -> None:
    x = drawn(9, (4, 6))[0]
    labels = np.array([0, 6, -1, 5])
    loss, _, _, _ = on_device("cross_entropy", x, labels)
    assert list(np.isnan(loss)) == [False, True, True, False]
    (mean, *_) = on_device("cross_entropy", x, labels, reduction=1)
    assert np.isnan(mean)


def test_a_target_that_does_not_fit_has_no_path() -> None:
    log_probs = np.log(np.full((3, 3, 4), 0.25, np.float32))
    targets, steps, lengths = np.array([[1, 1, 2], [1, 2, 3], [1, 9, 2]]), np.array([3, 3, 3]), np.array([3, 3, 2])
    (loss,) = on_device("ctc_loss", log_probs, targets, steps, lengths, blank=0)
    assert loss[0] == np.inf and np.isclose(loss[1], -3 * np.log(0.25)) and np.isnan(loss[2])
    (dx,) = on_device("ctc_loss_grad", log_probs, targets, steps, lengths, np.array([1, 0, 1], np.float32), blank=0)
    assert np.isnan(dx[:, 0, :3]).all() and (dx[:, 0, 3] == 0).all() and (dx[:, 1] == 0).all()
