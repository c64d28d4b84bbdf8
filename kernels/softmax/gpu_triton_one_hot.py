"""one_hot on a device. A label that is outside the classes has a row of zeros: a kernel cannot report it."""

from __future__ import annotations

import triton
import triton.language as tl

from ..copy.gpu_triton_places import block_of
from ..copy.strides import wide
from ..launch import Call, ceil_div, count, row

BLOCK = 1024


@triton.jit
def _one_hot(labels, y, elements, classes, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    i = block_of(BLOCK, WIDE)
    label = tl.load(labels + i // classes, mask=i < elements, other=0)
    tl.store(y + i, (label == i % classes).to(y.dtype.element_ty), mask=i < elements)


@row()
def one_hot(call: Call) -> None:
    (labels,), (y,) = call.inputs, call.outputs
    n = count(y.shape)
    call.launch(_one_hot, (ceil_div(n, BLOCK),), labels, y, n, y.shape[-1], WIDE=wide(n), BLOCK=BLOCK)
