"""conv2d on channels last: conv2d's kernels with other strides and weights in panels. Winograd's algorithms are for processors: their packed weights are
refused."""

from __future__ import annotations

import triton
import triton.language as tl

from ..conv2d.gpu_triton import FAR, LANES, PANELS, Product, given, pairs
from ..launch import Call, ceil_div, count, row

HELD = {0: PANELS, 4: LANES}      # by algorithm: accelnn/ops/conv_nhwc.py ALGORITHMS


def _other(call: Call) -> str | None:
    algorithm = call.attrs["algorithm"]
    return None if algorithm in HELD else f"weights packed for algorithm {algorithm}; panels (0) or lanes (4) expected"


@row(refuse=_other)
def conv2d_nhwc(call: Call) -> None:
    x, w, bias, residual = given(call, 4)
    a = call.attrs
    product = Product(HELD[a["algorithm"]], x.shape[3], a["channels"], a["groups"], (a["kernel_h"], a["kernel_w"]), **pairs(a), activation=a["activation"],
                      last=True)  # fmt: skip
    product.launch(call, x, w, bias, residual, call.outputs[0])


@triton.jit
def _pack(w, packed, size, K, CG, TAPS, O, PANELS_OF, WIDE: tl.constexpr, B: tl.constexpr):
    """Element e of [panel, tap (p, q, c), output]. O: outputs of a group, PANELS_OF: its panels."""
    e = tl.program_id(0) * B + tl.arange(0, B)
    if WIDE:
        e = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    k, panel = e // 16 % K, e // 16 // K
    o = panel % PANELS_OF * 16 + e % 16
    at = ((panel // PANELS_OF * O + o) * CG + k % CG) * TAPS + k // CG
    tl.store(packed + e, tl.load(w + at, mask=(o < O) & (e < size), other=0.0), mask=e < size)


@row(refuse=_other)
def conv2d_pack(call: Call) -> None:
    (w,), (packed,) = call.inputs, call.outputs
    o, cg, r, s = w.shape
    groups, size = call.attrs["groups"] if HELD[call.attrs["algorithm"]] == PANELS else 1, count(packed.shape)
    call.launch(_pack, (ceil_div(size, 1024),), w, packed, size, cg * r * s, cg, r * s, o // groups, ceil_div(o // groups, 16),
                WIDE=size >= FAR, B=1024)  # fmt: skip
