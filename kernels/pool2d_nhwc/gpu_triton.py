"""Pooling on channels last on devices: pool2d's kernels, whose neighbours in memory are channels."""

from __future__ import annotations

from ..launch import Call, ceil_div, row
from ..pool2d.gpu_triton import BLOCK, maximum, mean, sizes, window

MAXIMUM, MEAN = 0, 1      # of `kind`; 2: the mean of the pixels inside the image


@row()
def pool2d_nhwc(call: Call) -> None:
    (x,), (y,), (size, how), kind = call.inputs, call.outputs, sizes(call), call.attrs["kind"]
    shape, grid = (x.shape[3], *x.shape[1:3], *y.shape[1:3]), (ceil_div(size, BLOCK),)
    if kind == MAXIMUM:
        call.launch(maximum, grid, x, y, None, size, *shape, *window(call.attrs), LAST=True, **how)
    else:
        call.launch(mean, grid, x, y, size, *shape, *window(call.attrs), PADDED=kind == MEAN, LAST=True, **how)
