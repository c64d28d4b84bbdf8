"""Runs of one Model from many threads at once, and runs that nobody waits for yet: the same bits, whatever else goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import Error

from ..conftest import batch, lenet

THREADS, RUNS = 8, 1000


def hammered(model: Any, cases: list[dict[str, np.ndarray]], runs: int) -> list[str]:
    """What went wrong in THREADS threads with `runs` runs each, of all cases in turn."""
    def bits(feed: dict[str, np.ndarray]) -> bytes:
        return b"".join(y.numpy().tobytes() for y in model.run(feed).values())

    want = [bits(feed) for feed in cases]
    wrong: list[str] = []
    gate = threading.Barrier(THREADS)

    def work(me: int) -> None:
        try:
            gate.wait()
            for i in range(runs):
                if bits(cases[(me + i) % len(cases)]) != want[(me + i) % len(cases)]:
                    wrong.append(f"thread {me}, run {i}")
        except Exception as problem:
            wrong.append(repr(problem))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return wrong


def transformer() -> an.nn.Module:
    """One layer as encoders have it, small."""
    an.seed(0)
    return an.nn.Sequential(an.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), an.nn.Linear(32, 8))


@pytest.mark.parametrize("make", [lenet, transformer], ids=lambda f: f.__name__)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_eight_threads_of_a_thousand_runs(make: Callable[[], Any], n_threads: int, threads: Any) -> None:
    """Sizes change from run to run, so that bindings are made, found and thrown away beside each other."""
    threads(n_threads)
    example = batch(2)[0].numpy() if make is lenet else np.random.default_rng(0).normal(size=(2, 5, 32)).astype(np.float32)
    model = an.freeze(make(), example)
    name = model.inputs[0][0]
    cases = [{name: np.concatenate([example + np.float32(i)] * n)[:n]} for i, n in enumerate((1, 2, 3, 1, 5, 4))]
    assert hammered(model, cases, RUNS) == []


def test_async_runs_are_the_same_runs() -> None:
    model = an.freeze(lenet(), batch(2)[0])
    name = model.inputs[0][0]
    feeds = [{name: batch(n, seed=n)[0].numpy()} for n in range(1, 9)]
    want = [model.run(f) for f in feeds]
    for found in ([p.result(60) for p in [model.run_async(f) for f in feeds]], asyncio.run(_all(model, feeds))):
        for a, b in zip(want, found, strict=True):
            assert a.keys() == b.keys() and all(a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a)


async def _all(model: Any, feeds: list[Any]) -> list[Any]:
    first = await model.run_async(feeds[0])
    return [first, *await asyncio.gather(*(model.run_async(f) for f in feeds[1:]))]


def test_async_errors_arrive_with_the_result() -> None:
    model = an.freeze(lenet(), batch(2)[0])
    with pytest.raises(Error, match="inputs"):
        model.run_async({"no such": batch(1)[0]}).result(60)
    done: list[Any] = []
    pending = model.run_async({model.inputs[0][0]: batch(1)[0]})
    pending.add_done_callback(done.append)
    pending.result(60)
    for _ in range(1000):
        if done:
            break
        time.sleep(0.001)
    assert done == [pending] and pending.done()


def test_python_goes_on_while_a_plan_runs(threads: Any) -> None:
    """Without the interpreter's lock: this thread counts while the other computes."""
    threads(1)
    x = np.ones((768, 768), np.float32)

    def slow(t: Any) -> Any:
        for _ in range(12):
            t = (t @ t) * 0.001
        return t

    model = an.freeze(slow, x, dynamic_batch=False)
    pending = model.run_async({model.inputs[0][0]: x})
    steps = 0
    while not pending.done():
        steps += 1
        time.sleep(0.0005)
    assert pending.result(60) and steps >= 3


def test_arrays_that_fit_go_straight_to_the_plan(monkeypatch: Any) -> None:
    """No line of Python between: what is converted would go through _views."""
    x = np.ones((2, 3), np.float32)
    model = an.freeze(lambda a, b: (a + b, a * b), (x, x))
    (first, _), (second, _) = model.inputs
    want = [y.numpy().tobytes() for y in model(x, x)]

    def never(*_: Any) -> Any:
        raise AssertionError("converted")

    monkeypatch.setattr(type(model), "_views", never)
    for a in (x, an.tensor(x), x[:, ::-1][:, ::-1]):
        assert [y.numpy().tobytes() for y in model(a, x)] == want
        found = model.run({second: x, first: a})
        assert [y.numpy().tobytes() for y in found.values()] == want and list(found) == [n for n, _ in model.outputs]
    for a in (x.astype(np.float64), x.astype(">f4"), np.asfortranarray(x), x[:, ::-1], x.tolist()):
        with pytest.raises(AssertionError, match="converted"):
            model.run({first: a, second: x})
    monkeypatch.undo()
    assert [y.numpy().tobytes() for y in model(x.astype(">f4"), np.asfortranarray(x))] == want
    for wrong in ({first: x}, {first: x, second: x, "third": x}, {first: x, "other": x}):
        with pytest.raises(Error, match="inputs"):
            model.run(wrong)
    with pytest.raises(Error, match="input"):
        model.run({first: x.astype(np.int64), second: x})
