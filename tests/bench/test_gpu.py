"""The bench of device rows, as far as it needs no device: its table, its samples, its targets, its clock on a driver that only checks."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.bench import Case, gpu
from accelnn.bench.gpu import limits, session
from accelnn.bench.gpu.clock import EventClock
from accelnn.bench.gpu.numbers import Numbers
from accelnn.bench.gpu.report import Printer, line
from accelnn.bench.gpu.targets import TARGETS, Answer, judged
from accelnn.bench.gpu.works import WORKS, as_floats
from accelnn.bench.works import Inputs
from accelnn.core.dtypes import BFLOAT16, DType, to_bfloat16
from accelnn.core.errors import AttributeValueError, DTypeError, ShapeError
from accelnn.core.registry import OPS
from accelnn.core.remote import device_named

from ..conftest import need_module
from ..cuda.fake import Fake, forked

TINY = gpu.cases(kind="tiny")


def reference(op: str, arrays: Any, attrs: dict[str, Any]) -> list[np.ndarray]:
    """A device's results: the float64 reference, rounded to what the op gives out; integers as they are."""
    wide = [None if a is None else a if a.dtype.kind in "iu" else as_floats(a).astype(np.float64) for a in arrays]
    found = OPS[op].reference(*wide, **attrs)
    specs = OPS[op].specs(Inputs(list(arrays), attrs).specs(), attrs)
    made = []
    for value, spec in zip(found if isinstance(found, tuple) else (found,), specs, strict=True):
        made.append(to_bfloat16(np.asarray(value, np.float32)) if spec.dtype == DType.bfloat16 else np.asarray(value).astype(spec.dtype.storage))
    return made


def shown(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [as_floats(a) if a.dtype == BFLOAT16 else a for a in arrays]


def drawn(case: Case) -> Inputs | None:
    """The operands of a tiny case, None where the op does not know their dtype yet."""
    work = WORKS[case.work]
    x = work.draw(Numbers(3, 1 << 12), case.shape)
    try:
        x = work.complete(x, lambda op, arrays, attrs: reference(op, arrays, attrs)) if work.complete else x
        OPS[work.op].specs(x.specs(), x.attrs)
    except DTypeError:
        return None
    return x


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.work}-{c.shape}") for c in TINY])
def test_samples_take_what_is_right_and_nothing_else(case: Case) -> None:
    """Right results pass; with one of those that are looked at changed, they do not."""
    work, x = WORKS[case.work], drawn(case)
    if x is None:
        assert work.dtype in ("bf16", "f16")
        return
    results = shown(reference(work.op, x.arrays, x.attrs))
    for sample in work.samples(x):
        truth = sample.truth(work.op)
        assert truth.problem(sample.pick(results)) is None
        wrong = [np.array(r, np.float64 if r.dtype.kind == "f" else r.dtype) for r in results]
        for r in wrong:
            r += np.asarray(1000, r.dtype) if r.dtype.itemsize > 1 else np.asarray(3, r.dtype)
        assert truth.problem(sample.pick(wrong)) is not None
        assert sum(v.size for v in truth.values) > 0


def test_every_group_has_a_rehearsal_and_every_work_a_shape() -> None:
    for group in gpu.table():
        assert group["shapes"] and group["tiny"] and set(group["works"]) <= set(WORKS), group["name"]
        assert set(group.get("quick", ())) <= set(group["shapes"])
    named = {w for group in gpu.table() for w in group["works"]}
    families = {OPS[WORKS[w].op].kernel or "pointwise" for w in named}
    assert {"matmul", "conv2d", "attention", "attention_grad", "attention_decode", "matmul_int4", "qmatmul", "softmax", "layer_norm", "cross_entropy",
            "recurrent", "pointwise", "reduce", "copy"} <= families  # fmt: skip


def test_what_the_targets_name_is_measured() -> None:
    """A figure of a shape that nobody measures could never be anything but missing: every value is found in a record of all cases."""
    rows = []
    for case in gpu.cases():
        ratio = {"median": 2.0, "noise": 0.0}
        labels = ("torch.mm cuBLASLt", "torch.mm f16", "sdpa flash")
        rows.append({"work": case.work, "shape": case.shape, "subject": "accelnn", "time": {"median": 1.0}, "flop_rate": 6e14, "byte_rate": 3e12, "ratio": 2.0,
                     "peers": {label: {"ratio": ratio, "same": True} for label in labels}})  # fmt: skip
    answers = judged({"rows": rows, "launch_seconds": 2e-6})
    assert [a.verdict for a in answers] == ["reach"] * len(TARGETS)
    assert all(a.verdict == "not measured" and a.met is None and a.json()["value"] is None for a in judged({"rows": [], "launch_seconds": None}))
    slow = [r | {"flop_rate": 1.0, "byte_rate": 1.0, "ratio": 0.5, "peers": {"torch.mm cuBLASLt": {"ratio": {"median": 0.5}}}} for r in rows]
    assert {a.verdict for a in judged({"rows": slow, "launch_seconds": 4e-6})} == {"short", "not measured"}
    assert all(a.verdict == "not measured" for a in judged({"rows": [r | {"time": None} for r in rows], "launch_seconds": None}))


def test_the_best_peer_counts() -> None:
    """Of two cuBLASLt figures the fastest: 0.9, not 3."""
    peers = {f"torch.mm {name}": {"ratio": {"median": m}} for name, m in (("cuBLASLt", 0.9), ("cuBLAS", 3.0))}
    rows = [{"work": "matmul_bf16", "shape": s, "subject": "accelnn", "time": {"median": 1.0}, "ratio": 0.9, "peers": peers}
            for s in ("1x8192x8192", "16x8192x8192", "64x8192x8192")]  # fmt: skip
    assert next(a.value for a in judged({"rows": rows, "launch_seconds": None}) if a.name == "matmul bf16, few rows") == 0.9


def test_lines_say_what_was_not_measured() -> None:
    row = {"group": "g", "label": "8x8", "subject": "accelnn", "key": "g | 8x8", "peers": {}, "best": None, "ratio": None, "bound_kind": "copy", "row": "r"}
    assert line(row | {"refused": "no such dtype", "time": None}, {}) == ["  8x8  no row: no such dtype"]
    assert line(row | {"time": None}, {}) == ["  8x8: right (r); nothing timed"]
    assert line(row | {"error": "[0] is 1 instead of 2"}, {})[0].startswith("  8x8  WRONG: [0] is 1")
    timed = row | {"time": {"median": 1e-5, "noise": 0.01}, "byte_rate": 2e12, "flop_rate": 1e9}
    text = line(timed, {"copy": {"rate": 4e12}})[0]
    assert "10.0 us" in text and "2.00 TB/s" in text and "50% of copy" in text and "copy" not in line(timed, {})[0]
    out = io.StringIO()
    answers = [Answer("a", 1.0, "x", None), Answer("b", 3.0, "us", 2.0, at_most=True)]
    Printer(out).closing({"rows": [row | {"error": "no"}], "settings": {}}, answers)
    assert "not measured" in out.getvalue() and "reach" in out.getvalue() and "1 wrong: g | 8x8" in out.getvalue()


def test_numbers_are_never_zeros_and_repeat_nothing_nearby() -> None:
    numbers = Numbers(0, 1 << 10)
    a, b = numbers.normal(50, 40), numbers.normal(50, 40)
    assert a.shape == (50, 40) and a.dtype == np.float32 and np.count_nonzero(a) == a.size and not np.array_equal(a, b)
    assert np.array_equal(Numbers(0, 1 << 10).normal(50, 40), a), "drawn from the seed"
    half = numbers.bfloat16(7, 3)
    assert half.dtype == BFLOAT16 and np.abs(as_floats(half)).max() < 10 and numbers.signed(9).dtype == np.int8 and numbers.unsigned(9).dtype == np.uint8


def test_shapes_of_ones_own() -> None:
    assert [c.shape for c in gpu.cases(["matmul_bf16"], ["3x4x5"])] == ["3x4x5"]
    assert {c.work for c in gpu.cases(["attention"])} >= {"attention", "attention_bf16"}
    with pytest.raises(AttributeValueError, match="--shapes needs the op"):
        gpu.cases((), ["3x4x5"])
    with pytest.raises(ShapeError, match="3x4"):
        gpu.cases(["matmul_bf16"], ["3x4"])
    with pytest.raises(ShapeError, match="nothing to measure on a device"):
        gpu.cases(["nothing"])


def test_peers_name_works_that_there_are() -> None:
    need_module("torch")
    from accelnn.bench.gpu.peers import PEERS

    assert set(PEERS) <= set(WORKS)
    assert all(len({p.label for p in peers}) == len(peers) for peers in PEERS.values())
    assert {p.label for p in PEERS["attention_bf16"]} == {"sdpa flash", "sdpa cuDNN", "sdpa efficient"}


def test_no_gpu_is_told() -> None:
    if _C.cuda.available()[0]:
        pytest.skip("there is a GPU here")
    with pytest.raises(an.Error, match="cuda"):
        an.bench.run("matmul", device="cuda")


@forked
def test_time_is_taken_between_events() -> None:
    """The fake's clock goes on by half a millisecond an event; what is submitted between them does not count there."""
    device, fake = device_named("cuda"), Fake()
    clock = EventClock()
    assert clock.time(lambda: None) == pytest.approx(0.5e-3)
    bench = gpu.Bench(device, session.ONCE, ())
    assert bench.timed and bench.l2 == 50 << 20 and bench.peers is None
    found = limits.measure(bench)
    assert set(found) == {"copy"} and found["copy"]["rate"] == pytest.approx(2 * (1 << 28) / 0.5e-3)
    cost = limits.launch_cost(bench, 20, 3)
    assert cost is not None and 0 < cost < 1e-2 and sum("nothing" in text for text in fake.log()) >= 60


@forked
def test_sets_of_operands_are_larger_than_the_cache() -> None:
    bench = gpu.Bench(device_named("cuda"), session.ONCE, ())
    for shape, n in (("64x64x64", session.MOST_SETS), ("2048x2048x2048", 7), ("8192x8192x8192", 2)):
        work = WORKS["matmul_bf16"]
        m, k, size = (int(v) for v in shape.split("x"))
        x = Inputs([np.empty((m, k), BFLOAT16), np.empty((k, size), BFLOAT16)])
        assert bench._count(work, x) == n
