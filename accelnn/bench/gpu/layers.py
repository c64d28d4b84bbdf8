"""Convolutions, normalization, softmax and cross-entropy, recurrent cells; forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.registry import OPS
from ...ops.conv import geometry
from ...ops.recurrent_math import GATES
from ..works import CONV, Inputs, sizes
from ..works_norm import IMAGES, ROWS, _image
from ..works_recurrent import RECURRENT
from .numbers import Numbers
from .works import Forward, Sample, Work, add, along, draw_floats, whole

# Convolutions: an image is a problem of its own


def _options(text: str) -> tuple[list[int], list[int], dict[str, int]]:
    """Sizes of image and weights, stride, padding and groups."""
    image, weights, *rest = text.split(":")
    given = {k: int(v) for k, v in (part.split("=") for part in rest)}
    n = image.count("x") + 1
    return sizes(image, n, CONV), sizes(weights, n, CONV), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | given


def _conv(dtype: str, relu: int) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        image, weights, g = _options(text)
        w = draw_floats(numbers, "f32", *weights) / np.float32(np.sqrt(np.prod(weights[1:])))
        x, b = draw_floats(numbers, dtype, *image), numbers.normal(weights[0])
        half = {"f32": np.float32, "f16": np.float16}.get(dtype)
        w = w.astype(half) if half else numbers.bfloat16(*weights)
        return Inputs([x, w, b], geometry(**g) | ({"activation": 1} if relu else {}), g)

    return draw


def _with_dy(x: Inputs, numbers: Numbers) -> np.ndarray:
    shape: Any = OPS["conv2d"].specs(x.specs(), x.attrs)[0].shape
    return numbers.normal(*shape)


def _dgrad(numbers: Numbers, text: str) -> Inputs:
    x = _conv("f32", 0)(numbers, text)
    image, w, _ = x.arrays
    return Inputs([_with_dy(x, numbers), w], x.attrs | {"in_h": image.shape[2], "in_w": image.shape[3]}, x.note)


def _wgrad(numbers: Numbers, text: str) -> Inputs:
    x = _conv("f32", 0)(numbers, text)
    image, w, _ = x.arrays
    return Inputs([_with_dy(x, numbers), image], x.attrs | {"kernel_h": w.shape[2], "kernel_w": w.shape[3]}, x.note)


def _conv3d(numbers: Numbers, text: str) -> Inputs:
    image, weights, g = _options(text)
    w = numbers.normal(*weights) / np.float32(np.sqrt(np.prod(weights[1:])))
    p = g["padding"]
    attrs = dict.fromkeys(("stride_d", "stride_h", "stride_w"), g["stride"]) | dict.fromkeys(
        ("pad_front", "pad_top", "pad_left", "pad_back", "pad_bottom", "pad_right"), p)  # fmt: skip
    return Inputs([numbers.normal(*image), w, numbers.normal(weights[0])], attrs, g)


def _wgrad_cost(x: Inputs) -> tuple[float, float]:
    dy, image = x.arrays
    taps = image.shape[1] // x.note["groups"] * x.attrs["kernel_h"] * x.attrs["kernel_w"]
    return 2.0 * dy.size * taps, 4.0 * (dy.size + image.size + dy.shape[1] * taps)


for _dtype, _end in (("f32", ""), ("bf16", "_bf16"), ("f16", "_f16")):
    for _relu in (0, 1):
        add(Work(f"conv2d{_end}{'_relu' * _relu}", "conv2d", f"{CONV}, bias{' and relu' * _relu}", _conv(_dtype, _relu), along({0: 0}, {0: 0}, 2),
                 peak=_dtype, dtype=_dtype))  # fmt: skip
add(Work("conv2d_dgrad", "conv2d_dgrad", CONV, _dgrad, along({0: 0}, {0: 0}, 2), peak="f32"),
    Work("conv2d_wgrad", "conv2d_wgrad", CONV, _wgrad, along({0: 1}, {0: 0}, 2), peak="f32", cost=_wgrad_cost),
    Work("conv3d", "conv3d", "NxCxDxHxW:OxCxTxRxS[:stride=2][:padding=1]", _conv3d, along({0: 0}, {0: 0}, 1), peak="f32"))  # fmt: skip

# Rows: a row is a problem of its own; gradients of weights are sums over all of them

WHOLE = 1 << 22  # elements that are calculated in float64


def _rows(op: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        s = sizes(text, 2, ROWS)
        weights = [numbers.normal(s[1]) for _ in range(1 if op == "rms_norm" else 2)]
        return Inputs([numbers.normal(*s), *weights], {"dims": 1, "eps": 1e-5})

    return draw


def _after(forward_op: str) -> Any:
    """dy is the last operand drawn; what the forward op keeps comes from the device."""

    def complete(x: Inputs, forward: Forward) -> Inputs:
        *given, dy = x.arrays
        rms = forward_op == "rms_norm"
        attrs = x.attrs if forward_op != "batch_norm" else {"eps": x.attrs["eps"]}
        _, rstd, *mean = forward(forward_op, given, attrs)
        params = {} if forward_op == "batch_norm" else {"params": len(given) - 1}
        return Inputs([dy, given[0], rstd, None if rms else mean[0], given[1]], x.attrs | params)

    return complete


def _and_dy(draw: Any) -> Any:
    def both(numbers: Numbers, text: str) -> Inputs:
        x = draw(numbers, text)
        return Inputs([*x.arrays, numbers.normal(*x.arrays[0].shape)], x.attrs)

    return both


def _norm_grad_samples(x: Inputs) -> list[Sample]:
    """Everything while it is small: what is summed over all rows is no problem of a few. Otherwise dx of some rows."""
    return whole(x) if x.arrays[0].size <= WHOLE else along({0: 0, 1: 0, 2: 0, 3: 0}, {0: 0})(x)


def _softmax(numbers: Numbers, text: str) -> Inputs:
    return Inputs([numbers.normal(*sizes(text, 2, ROWS))])


def _softmax_saved(op: str) -> Any:
    def complete(x: Inputs, forward: Forward) -> Inputs:
        return Inputs([x.arrays[1], forward(op, x.arrays[:1], {})[0]])

    return complete


for _op in ("layer_norm", "rms_norm"):
    add(Work(_op, _op, ROWS, _rows(_op), along({0: 0}, {0: 0})),
        Work(f"{_op}_grad", f"{_op}_grad", ROWS, _and_dy(_rows(_op)), _norm_grad_samples, complete=_after(_op)))
for _op in ("softmax", "log_softmax"):
    add(Work(_op, _op, ROWS, _softmax, along({0: 0}, {0: 0})),
        Work(f"{_op}_grad", f"{_op}_grad", ROWS, _and_dy(_softmax), along({0: 0, 1: 0}, {0: 0}), complete=_softmax_saved(_op)))

# Images: a group of channels of an image, or a channel of all images


def _images(op: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        s, groups = _image(text)
        return Inputs([numbers.normal(*s), numbers.normal(s[1]), numbers.normal(s[1])], {"eps": 1e-5} | ({"groups": groups} if op == "group_norm" else {}))

    return draw


add(Work("group_norm", "group_norm", IMAGES, _images("group_norm"), along({0: 0}, {0: 0}, 2)),
    Work("group_norm_grad", "group_norm_grad", IMAGES, _and_dy(_images("group_norm")), along({0: 0, 1: 0, 2: 0, 3: 0}, {0: 0}, 2),
         complete=_after("group_norm")),
    Work("batch_norm", "batch_norm", IMAGES, _images("batch_norm"), along({0: 1, 1: 0, 2: 0}, {0: 1}, 4)),
    Work("batch_norm_grad", "batch_norm_grad", IMAGES, _and_dy(_images("batch_norm")), along({0: 1, 1: 1, 2: 0, 3: 0, 4: 0}, {0: 1, 1: 0, 2: 0}, 4),
         complete=_after("batch_norm")))  # fmt: skip

# Cross-entropy: a loss a row


def _labelled(numbers: Numbers, text: str) -> Inputs:
    n, classes = sizes(text, 2, "rows x classes")
    attrs = {"ignore_index": -100, "label_smoothing": 0.0, "reduction": 0, "log_input": 0}
    return Inputs([numbers.normal(n, classes), numbers.integers(classes, n), None], attrs)


def _labelled_saved(x: Inputs, forward: Forward) -> Inputs:
    logits, labels, weight = x.arrays
    _, total, top, sums = forward("cross_entropy", x.arrays, x.attrs)
    return Inputs([logits, labels, np.ones(len(logits), np.float32), total, top, sums, weight], x.attrs)


add(Work("cross_entropy", "cross_entropy", "rows x classes", _labelled, along({0: 0, 1: 0}, {0: 0, 2: 0, 3: 0})),
    Work("cross_entropy_grad", "cross_entropy_grad", "rows x classes", _labelled, along({0: 0, 1: 0, 2: 0, 4: 0, 5: 0}, {0: 0}), complete=_labelled_saved))

# Recurrent cells: a sequence is a problem of its own


def _recurrent(kind: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        batch, steps, inputs, units = sizes(text, 4, RECURRENT)
        rows, scale = GATES[kind] * units, np.float32(1 / np.sqrt(units))
        weights = [numbers.normal(*s) * scale for s in ((rows, inputs), (rows, units), (rows,), (rows,))]
        return Inputs([numbers.normal(batch, steps, inputs), *weights], {"batch_first": 1}, {"kind": kind})

    return draw


for _op in ("lstm", "gru"):
    add(Work(_op, _op, RECURRENT, _recurrent(_op), along({0: 0}, {0: 0}, 2), peak="f32"))
