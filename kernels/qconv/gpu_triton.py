"""qconv2d on packed weights on devices: qconv2d's kernels, which find a weight in its quad. The packed sums are for processors."""

from __future__ import annotations

from ..conv2d.gpu_triton_bytes import DEPTHWISE, QUADS, forward
from ..launch import Call, row


@row()
def qconv2d_packed(call: Call) -> None:
    x, a, o = call.inputs[0], call.attrs, call.inputs[3].shape[0]
    groups, taps, x_last = a["groups"], (a["kernel_h"], a["kernel_w"]), bool(a["x_last"])
    channels = x.shape[3 if x_last else 1]
    depthwise = groups > 1 and channels == groups == o
    whole = depthwise or (groups == 1 and a["dilation_w"] == 1)      # a filter row lies side by side
    forward(call, DEPTHWISE if depthwise else QUADS, taps, channels // groups * (taps[1] if whole else 1), x_last, bool(a["y_last"]))
