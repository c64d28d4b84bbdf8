"""The activations of kernels/matmul/activation.h on a tile in registers, by tl.exp and polynomials: the interpreter has nothing of libdevice."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def tanh(x):
    square = x * x
    near = x * (1.0 - square * (0.33333333 - square * 0.13333333))      # 2 sigmoid(2x) - 1 cancels there
    return tl.where(square < 0.002, near, 2.0 * sigmoid(2.0 * x) - 1.0)


@triton.jit
def gelu(x):
    """x (1/2 + x P(x^2)), the polynomial of kernels/pointwise/gelu.h."""
    inside = tl.where(x < -5.25, -5.25, tl.where(x > 5.25, 5.25, x))
    u = inside * inside * (2.0 / 27.5625) - 1.0
    p = 0.000239949688 * u - 0.00065658387
    p = p * u + 0.000664733641
    p = p * u - 0.00103953457
    p = p * u + 0.00289235939
    p = p * u - 0.00544851972
    p = p * u + 0.00841787178
    p = p * u - 0.0127752507
    p = p * u + 0.0185386483
    p = p * u - 0.0250419322
    p = p * u + 0.0320314392
    p = p * u - 0.0397634134
    p = p * u + 0.0496457852
    p = p * u - 0.067126818
    p = p * u + 0.13465935
    return tl.where(x < -5.25, 0.0, x * (inside * p + 0.5))


@triton.jit
def hardsigmoid(x):
    s = x * (1.0 / 6.0) + 0.5
    s = tl.where(s < 0.0, 0.0, s)
    return tl.where(s > 1.0, 1.0, s)


@triton.jit
def activate(x, HOW: tl.constexpr):
    """HOW: the number of the activation. Comparisons and not minimum and maximum, so that NaN stays."""
    if HOW == 1:
        x = tl.where(x < 0.0, 0.0, x)
    elif HOW == 2:
        x = gelu(x)
    elif HOW == 3:
        x = x * sigmoid(x)
    elif HOW == 4:
        x = sigmoid(x)
    elif HOW == 5:
        x = tanh(x)
    elif HOW == 6:
        x = hardsigmoid(x)
    elif HOW == 7:
        x = x * hardsigmoid(x)
    return x
