"""What matrix products do to a sum before they store it: scale, residual, bias and activation (kernels/matmul/activation.h), in that order."""

from __future__ import annotations

import triton
import triton.language as tl

from ..pointwise import gpu_functions as functions


@triton.jit
def activate(x, HOW: tl.constexpr):
    """The activation of that number in ops/matmul.py's ACTIVATIONS."""
    if HOW == 1:
        x = functions.f_relu(x)
    elif HOW == 2:
        x = functions.f_gelu(x)
    elif HOW == 3:
        x = functions.f_silu(x)
    elif HOW == 4:
        x = functions.f_sigmoid(x)
    elif HOW == 5:
        x = functions.f_tanh(x)
    elif HOW == 6:
        x = functions.f_hardsigmoid(x)
    elif HOW == 7:
        x = functions.f_hardswish(x)
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


@triton.jit
def added(product, x):
    """x + product, both operations rounded: compilers make one of a sum and a product that is its operand, but not through an absolute value."""
    size = tl.abs(product)
    return tl.where(product < 0.0, x - size, x + size)
