"""conv2d called on tensors: channels last inside where that is faster, with weights that are packed once for each state they are in.

Memory: a packed copy of such a weight, as large as itself, 16/9 of it for F(2,3), four times for F(4,3); it goes with the weight, or by forget().
Nobody can change a weight unnoticed, not even through a numpy array that shares its memory: such a weight is read whole in every call. 3x3 of 512 to 512
channels at 7x7, 9.4 MB of them beside 16.8 packed: 1779 us, shared with numpy 2809; on two threads 820 and 1887 (torch 1950), for one thread reads them."""

from __future__ import annotations

import weakref
from functools import lru_cache
from math import prod
from typing import Any

from .. import _C
from ..core.dtypes import DType
from ..core.graph import Spec
from ..core.registry import OPS
from ..core.tensor import Tensor, apply, mode

WORTH = 1 << 21  # products: below, the Python of this file is a tenth of the time
PRODUCTS = 24, 64  # an element of the two images: of fast algorithms, of panels
APART = 128  # of panels where windows do not overlap: conv2d reads the image once too
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
Shape = tuple[int, ...]


class Held:
    """The packed forms of a weight in one state."""

    __slots__ = ("ref", "address", "version", "lent", "mark", "forms")

    def __init__(self, weight: Tensor, mark: int) -> None:
        key, view = id(weight), weight.view
        self.ref = weakref.ref(weight, lambda _: HELD.pop(key, None))
        self.address, self.version, self.lent, self.mark = view.address, view.version, view.lent, mark
        self.forms: dict[tuple[int, int], Tensor] = {}

    def describes(self, weight: Tensor) -> bool:
        """Whether the weight is still what was packed. While nobody else could write to its memory (no array shares it, or has since), its version tells;
        else every word of it is looked at."""
        view = weight.view
        if self.ref() is not weight or self.address != view.address or self.version != view.version:
            return False
        if view.lent < 0 or view.lent != self.lent:
            self.lent = view.lent
            return self.mark == _mark(weight)
        return True


def _mark(weight: Tensor) -> int:
    return _C.fingerprint(weight.view.address, 4 * weight.numel())


HELD: dict[int, Held] = {}


def forget() -> None:
    """Drops all packed weights of eager convolutions; they are made again when they are needed."""
    HELD.clear()


def _packed(weight: Tensor, groups: int, algorithm: int) -> Tensor:
    held = HELD.get(id(weight))
    if held is None or not held.describes(weight):
        held = HELD[id(weight)] = Held(weight, _mark(weight))
    found = held.forms.get((groups, algorithm))
    if found is None:
        found = held.forms[groups, algorithm] = apply("conv2d_pack", Tensor(weight.view), groups=groups, algorithm=algorithm)
    return found


@lru_cache(maxsize=1024)
def algorithm_of(x: Shape, w: Shape, attrs: tuple[tuple[str, int], ...]) -> int | None:
    """The algorithm of conv2d_nhwc that is worth two turned images, or None: conv2d on NCHW is as fast.

    Measured on one thread against conv2d: 1x1 of 256 -> 64 channels at 56x56 (51 products an element that is turned) 0.92, 1024 -> 256 at 14x14 (205)
    1.29. Groups of 4 channels on their planes: 359 us, turned 460; of 8: 388, turned 291. 64 images of 6 -> 16 channels, 14x14, by 5x5: 345 us
    turned, by columns 400, with outputs as lanes 273 (two threads 211, 206 and 141). 2x2 at a stride of 2, 64 to 128 channels of 112x112 (85): 2311 us
    turned, 2162 on NCHW, two threads 1312 and 1064; 128 to 256 of 56x56 (171) as fast either way, 256 to 512 of 28x28 (341) 2382 and 3422."""
    from ..core.dispatch import explain
    from .conv_nhwc import ALGORITHMS, PANELS, plan_of

    image, weights, given = Spec(x, DType.float32), Spec(w, DType.float32), dict(attrs)
    outputs: Any = prod(OPS["conv2d"].specs([image, weights], given)[0].shape)
    products, turned = outputs * prod(w[1:]), prod(x) + outputs
    few = given["groups"] > 1 and w[1] == 1
    if few or w[0] < 16 or products < WORTH:
        return None
    algorithm = ALGORITHMS.index(plan_of(image, weights, given))
    if tuple(w[2:]) == (given["stride_h"], given["stride_w"]) and w[3] >= 3 and given["groups"] == 1:
        return None  # windows side by side: conv2d_nhwc/apart.h
    apart = 1 < w[2] <= given["stride_h"] and 1 < w[3] <= given["stride_w"]
    if algorithm == PANELS and apart and products < APART * turned:
        return None
    if products < PRODUCTS[algorithm == PANELS] * turned:
        return None
    row = next((name for name, why in explain("conv2d", [image, weights], given) if why is None), "")
    if algorithm == PANELS and row.endswith(("_planes", "_pixels")) or row.endswith("_planes") and w[1] < 8:
        return None
    return algorithm


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, g: dict[str, int]) -> Tensor | None:
    """The convolution with the attributes g, or None where that is for the op conv2d: other dtypes, sizes that do not fit, weights that are results
    themselves (packed anew in every call, they would gain nothing)."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    for v in operands:
        if not isinstance(v, Tensor) or not isinstance(v.view, _C.View) or v.dtype != DType.float32:  # on a device, conv2d has its own ways
            return None
    if weight.node is not None or not weight.view.contiguous or not _fits(x.shape, weight.shape, None if bias is None else bias.shape, g["groups"]):
        return None
    algorithm = algorithm_of(x.shape, weight.shape, tuple(g.items()))
    if algorithm is None:
        return None
    packed = _packed(weight, g["groups"], algorithm)
    o, _, r, s = weight.shape
    rest = () if bias is None else (Tensor(bias.view),)
    attrs = {k: v for k, v in g.items() if k != "exact"}
    image = Tensor(x.view).permute(TO_LAST).contiguous()
    last = apply("conv2d_nhwc", image, packed, *rest, channels=o, kernel_h=r, kernel_w=s, algorithm=algorithm, **attrs)
    y = last.permute(TO_FIRST).contiguous()
    if mode.grad and any(v.requires_grad or v.node is not None for v in operands):
        from ..core.questions import tape

        tape("conv2d", operands, g, (y,))
    return y


def _fits(x: Any, w: Any, bias: Any, groups: int) -> bool:
    """Ranks and channels; what else may be wrong, the op finds words for."""
    return len(x) == 4 and len(w) == 4 and min(*x, *w) > 0 and x[1] == w[1] * groups and w[0] % groups == 0 and bias in (None, w[:1])
