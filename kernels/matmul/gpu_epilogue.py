"""What matrix products do to a sum before they store it: scale, residual, bias and activation (kernels/matmul/activation.h), in that order."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tanh_of(x):
    """Near 0 the quotient would cancel: a polynomial there (the first power left out is 9e-9 of the result at 1/4)."""
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    u = x * x
    near = x * (1.0 + u * (-0.333333333 + u * (0.133333333 + u * (-0.0539682540 + u * 0.0218694885))))
    return tl.where(tl.abs(x) < 0.25, near, tl.where(x < 0.0, -far, far))


@triton.jit
def gelu_of(x):
    """x (1/2 + x P(x^2)) with pointwise/gelu.h's polynomial: one for the whole range, where erf has branches and an exp."""
    z = tl.where(x < -5.25, -5.25, tl.where(x > 5.25, 5.25, x))
    u = z * z * (2.0 / (5.25 * 5.25)) - 1.0
    p = u * 0.000239949688 - 0.00065658387
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
    return tl.where(x < -5.25, 0.0, x * (z * p + 0.5))


@triton.jit
def hardsigmoid_of(x):
    s = x * (1.0 / 6.0) + 0.5
    return tl.where(s < 0.0, 0.0, tl.where(s > 1.0, 1.0, s))


@triton.jit
def activate(x, HOW: tl.constexpr):
    """The activation of that number in ops/matmul.py's ACTIVATIONS. Comparisons instead of maxima: NaN stays."""
    if HOW == 1:
        x = tl.where(x < 0.0, 0.0, x)
    elif HOW == 2:
        x = gelu_of(x)
    elif HOW == 3:
        x = x / (1.0 + tl.exp(-x))
    elif HOW == 4:
        x = 1.0 / (1.0 + tl.exp(-x))
    elif HOW == 5:
        x = tanh_of(x)
    elif HOW == 6:
        x = hardsigmoid_of(x)
    elif HOW == 7:
        x = x * hardsigmoid_of(x)
    return x


@triton.jit
def finish(total, at, columns, inside, bias, residual, scale, HOW: tl.constexpr):
    """activation(scale * total + residual + bias). at: offsets of the results, which the residual shares; columns: numbers of their columns."""
    total *= scale
    if residual is not None:
        total += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    if bias is not None:
        total += tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    return activate(total, HOW)
