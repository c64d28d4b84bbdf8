"""Pointwise results that are written where their operand lay: less memory, the same bits, and never where somebody still reads."""

from __future__ import annotations

from typing import Any

import numpy as np

import accelnn as an
from accelnn.passes import as_eager
from accelnn.passes.plan_memory import schedule

X = np.random.default_rng(0).normal(size=(1, 8, 64, 64)).astype(np.float32)
W = an.tensor(np.random.default_rng(1).normal(size=(8, 8, 3, 3)).astype(np.float32))
BYTES = X.nbytes


def buffers(f: Any) -> tuple[Any, int]:
    """The Model, and how many temporaries its calls have."""
    model = an.freeze(f, X, dynamic_batch=False)
    windows = [w for call in schedule(model.lowered).calls for w in (*call.inputs, *call.outputs) if w is not None]
    return model, len({id(w.buffer) for w in windows if w.buffer.storage == "temporary"})


def test_one_buffer_for_a_chain() -> None:
    def f(x: Any) -> Any:
        return an.max_pool2d(an.gelu(an.max_pool2d(x, 3, 1, 1)), 3, 1, 1)

    model, n = buffers(f)
    assert n == 1 and model(X).numpy().tobytes() == f(an.tensor(X)).numpy().tobytes()
    assert BYTES <= model.plan.arena < 2 * BYTES


def test_not_where_somebody_reads_later() -> None:
    def f(x: Any) -> Any:
        y = an.max_pool2d(x, 3, 1, 1)
        return an.max_pool2d(an.gelu(y), 3, 1, 1) + an.max_pool2d(y, 5, 1, 2)

    model, n = buffers(f)
    assert n >= 3 and model(X).numpy().tobytes() == f(an.tensor(X)).numpy().tobytes()


def test_not_where_another_operand_is_a_part_of_it() -> None:
    """y + y[..., :1, :1]: the first row would be gone before the others read it."""
    def f(x: Any) -> Any:
        y = an.max_pool2d(x, 3, 1, 1)
        return an.max_pool2d(y + y[:, :, 3:4, 5:6], 3, 1, 1)

    model, n = buffers(f)
    assert n == 2 and model(X).numpy().tobytes() == f(an.tensor(X)).numpy().tobytes()


def test_as_traced_graphs_keep_the_bits_of_eager_calls() -> None:
    def f(x: Any) -> Any:
        y = an.max_pool2d(x, 3, 1, 1)
        for _ in range(3):
            y = an.tanh(y) * 1.5 + y
        return an.max_pool2d(y, 3, 1, 1)

    step = an.compile(f, passes=())
    assert step(an.tensor(X)).numpy().tobytes() == f(an.tensor(X)).numpy().tobytes()
    assert as_eager(step.plan(an.tensor(X)).graph).nodes()
