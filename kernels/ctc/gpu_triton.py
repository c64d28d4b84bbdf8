"""CTC loss and its gradient, for devices: a program a sequence walks over the steps with all states of its targets in registers.

As on a processor the largest forward variable of each step is taken off and added up in double. The way back leaves the probability of each state at each
step in scratch; a second launch, parallel over steps, adds those of each symbol, in the order of the states. Lengths and targets outside of their ranges
cannot be reported from here: such a sequence has loss NaN, and a gradient of 0 where its lengths are wrong."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, power_of_two, row


@triton.jit
def _log_sum(a, b, c):
    """log(exp a + exp b + exp c), also of nothing."""
    m = tl.maximum(tl.maximum(a, b), c)
    m = tl.where(m == float("-inf"), 0.0, m)
    return m + tl.log(tl.exp(a - m) + tl.exp(b - m) + tl.exp(c - m))


@triton.jit
def _lowered(v):
    """A row without its largest number, and that one; 0 where all are impossible."""
    top = tl.max(v, 0)
    top = tl.where(top == float("-inf"), 0.0, top)
    return v - top, top


@triton.jit
def _lengths(input_lengths, target_lengths, i, steps_most, targets_most):
    """Steps and states of a sequence, both 0 where a length is outside of its range."""
    steps, length = tl.load(input_lengths + i), tl.load(target_lengths + i)
    right = (steps >= 0) & (steps <= steps_most) & (length >= 0) & (length <= targets_most)
    return tl.where(right, steps, 0).to(tl.int32), tl.where(right, 2 * length + 1, 0).to(tl.int32)


@triton.jit
def _symbols(targets, i, k, states, most, blank):
    """A blank between any two targets and at both ends; -1 beyond."""
    symbol = tl.load(targets + i * most + k // 2, mask=(k % 2 == 1) & (k >= 0) & (k < states), other=0)
    return tl.where((k >= 0) & (k < states), tl.where(k % 2 == 1, symbol, blank), -1)


@triton.jit
def _emissions(x, t, i, batch, classes, symbol, known):
    """-inf where there is no state, NaN where its symbol is none."""
    v = tl.load(x + ((t + 0 * i) * batch + i) * classes + symbol, mask=known & (symbol >= 0) & (symbol < classes), other=float("nan"))
    return tl.where(known, v, float("-inf"))


@triton.jit
def _near(row, k, step, most: tl.constexpr):
    """The states `step` further on; -inf where there are none."""
    at = k + step
    inside = (at >= 0) & (at < most)
    return tl.where(inside, tl.gather(row, tl.where(inside, at, 0), 0), float("-inf"))


@triton.jit
def _forwards(x, targets, input_lengths, target_lengths, loss, alphas, steps_most, batch, classes, targets_most, blank, KEEP: tl.constexpr,
              STATES: tl.constexpr):  # fmt: skip
    i = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, STATES)
    steps, states = _lengths(input_lengths, target_lengths, i, steps_most, targets_most)
    known = k < states
    symbol = _symbols(targets, i, k, states, targets_most, blank)
    skip = (k % 2 == 1) & (k >= 3) & known & (symbol != _symbols(targets, i, k - 2, states, targets_most, blank))
    start = _emissions(x, steps * 0, i, batch, classes, symbol, known & (k < 2) & (steps > 0))
    row, top = _lowered(start)
    taken = top.to(tl.float64)
    if KEEP:
        tl.store(alphas + i * steps_most * STATES + k, row, mask=steps > 0)
    for t in range(1, steps):
        beyond = tl.where(skip, _near(row, k, -2, STATES), float("-inf"))
        row, top = _lowered(_emissions(x, t, i, batch, classes, symbol, known) + _log_sum(row, _near(row, k, -1, STATES), beyond))
        taken += top.to(tl.float64)
        if KEEP:
            tl.store(alphas + (i * steps_most + t) * STATES + k, row)
    ends = tl.where(known & (k >= states - 2), row, float("-inf"))
    m = tl.max(ends, 0)
    m = tl.where(m == float("-inf"), 0.0, m)
    found = -(taken + (m + tl.log(tl.sum(tl.exp(ends - m), 0))).to(tl.float64))
    found = tl.where(steps > 0, found.to(tl.float32), tl.where(states == 1, 0.0, float("inf")))
    tl.store(loss + i, tl.where(states > 0, found, float("nan")))


@triton.jit
def _backwards(x, targets, input_lengths, target_lengths, dloss, loss, alphas, steps_most, batch, classes, targets_most, blank, STATES: tl.constexpr):
    """-dloss times the probability of each state at each step, in place of the forward variables."""
    i = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, STATES)
    steps, states = _lengths(input_lengths, target_lengths, i, steps_most, targets_most)
    known = k < states
    symbol = _symbols(targets, i, k, states, targets_most, blank)
    skip = (k % 2 == 1) & (k + 2 < states) & (symbol != _symbols(targets, i, k + 2, states, targets_most, blank))
    d, whole = tl.load(dloss + i), tl.load(loss + i)
    row = tl.where(known & (k >= states - 2), 0.0, float("-inf"))
    for back in range(0, steps):
        t = steps - 1 - back
        emit = _emissions(x, t, i, batch, classes, symbol, known)
        if back > 0:
            beyond = tl.where(skip, _near(row, k, 2, STATES), float("-inf"))
            row = _log_sum(row, _near(row, k, 1, STATES), beyond)
        row, _ = _lowered(tl.where(known, row + emit, float("-inf")))
        at = alphas + (i * steps_most + t) * STATES + k
        alpha = tl.load(at)
        v = tl.where(alpha == float("-inf"), float("-inf"), (alpha - emit) + row)
        v, _ = _lowered(v)
        p = tl.exp(v)
        p = -d * (p / tl.sum(p, 0))
        # No path at all: the derivative of infinity.
        p = tl.where(whole == float("inf"), float("nan"), p)
        tl.store(at, tl.where(d == 0.0, 0.0, p))


@triton.jit
def _spread(targets, input_lengths, target_lengths, shares, dx, steps_most, batch, classes, targets_most, blank, STATES: tl.constexpr, MANY: tl.constexpr,
            BLOCK: tl.constexpr):  # fmt: skip
    """Step t of sequence i: to each symbol what its states have."""
    place = tl.program_id(0).to(tl.int64)
    t, i = place // batch, place % batch
    steps, states = _lengths(input_lengths, target_lengths, i, steps_most, targets_most)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    found = tl.zeros((BLOCK,), tl.float32)
    last = tl.where(t < steps, states, 0)
    for begin in range(0, last, MANY):
        k = begin + tl.arange(0, MANY)
        p = tl.load(shares + (i * steps_most + t) * STATES + k, mask=k < states, other=0.0)
        symbol = _symbols(targets, i, k, states, targets_most, blank)
        found += tl.sum(tl.where(symbol[None, :] == c[:, None], p[None, :], 0.0), 1)
    tl.store(dx + place * classes + c, found, mask=c < classes)


def _sizes(call: Call) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    """Steps, sequences, classes, targets and blank as the kernels take them; sequences; the states' block."""
    (steps, batch, classes), most = call.inputs[0].shape, call.inputs[1].shape[1]
    states = power_of_two(2 * most + 1)
    return (steps, batch, classes, most, int(call.attrs["blank"])), batch, {"STATES": states, "warps": power_of_two(states // 64, 1, 16)}


def _too_many(call: Call) -> str | None:
    states = 2 * call.inputs[1].shape[1] + 1
    return f"{states} states; at most 16384" if states > 16384 else None


@row(refuse=_too_many)
def ctc_loss(call: Call) -> None:
    sizes, batch, block = _sizes(call)
    call.launch(_forwards, (batch,), *call.inputs[:4], call.outputs[0], None, *sizes, KEEP=0, **block)


@row(refuse=_too_many)
def ctc_loss_grad(call: Call) -> None:
    sizes, batch, block = _sizes(call)
    x, dx = call.inputs[0], call.outputs[0]
    loss, alphas = call.scratch((batch,), x.dtype), call.scratch((batch, sizes[0], block["STATES"]), x.dtype)
    call.launch(_forwards, (batch,), *call.inputs[:4], loss, alphas, *sizes, KEEP=1, **block)
    call.launch(_backwards, (batch,), *call.inputs[:5], loss, alphas, *sizes, **block)
    classes = power_of_two(sizes[2], 1, 128)
    call.launch(_spread, (sizes[0] * batch, ceil_div(sizes[2], classes)), *call.inputs[1:4], alphas, dx, *sizes, STATES=block["STATES"], MANY=32,
                BLOCK=classes)  # fmt: skip
