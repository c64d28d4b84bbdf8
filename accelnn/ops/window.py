"""Where a convolution's kernel goes: torch's and ONNX's ways of saying it, for any number of spatial dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..core.dims import AnySize
from ..core.errors import AttributeValueError, ShapeError

MODES = ("same", "valid", "same_upper", "same_lower")


@dataclass(frozen=True)
class Window:
    """One entry a spatial dimension; `before` and `after`: zeros on the two sides."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def attrs2d(self, exact: bool = False) -> dict[str, int]:
        """The attributes of conv2d, for the last two dimensions; one dimension is a picture of one row."""
        (sh, sw), (top, left), (bottom, right), (dh, dw) = (
            (fill, *v)[-2:] if len(v) == 1 else v[-2:] for v, fill in ((self.stride, 1), (self.before, 0), (self.after, 0), (self.dilation, 1))
        )
        return dict(stride_h=sh, stride_w=sw, pad_top=top, pad_left=left, pad_bottom=bottom, pad_right=right, dilation_h=dh, dilation_w=dw,
                    groups=self.groups, **({"exact": 1} if exact else {}))  # fmt: skip


def each(n: int, value: Any, what: str, name: str, least: int) -> tuple[int, ...]:
    """One int for each of n dimensions from an int, or from n of them."""
    found = tuple(int(v) for v in value) if isinstance(value, (tuple, list)) else (int(value),) * n
    found = found * n if len(found) == 1 else found
    if len(found) != n or min(found) < least:
        raise AttributeValueError(f"{name}: {what} {value}: one int of at least {least}, or {n} of them, expected")
    return found


def paddings(n: int, padding: Any, sizes: tuple[AnySize, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...],
             name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """Zeros before and after each dimension. `padding` is an int, one int a dimension (both sides), two a dimension (ONNX: all begins, then all ends),
    'valid' (none), 'same' (torch: stride 1, the odd zero at the end), 'same_upper' or 'same_lower' (ONNX: ceil(size / stride) outputs)."""
    if not isinstance(padding, str):
        both = isinstance(padding, (tuple, list)) and len(padding) == 2 * n
        found = each(2 * n, padding, "padding", name, 0) if both else each(n, padding, "padding", name, 0) * 2
        return found[:n], found[n:]
    mode = padding.lower()
    if mode not in MODES:
        raise AttributeValueError(f"{name}: padding '{padding}' is unknown; there are {', '.join(MODES)}, ints, and pairs of ints")
    if mode == "valid":
        return (0,) * n, (0,) * n
    if mode == "same" and max(stride) > 1:
        raise AttributeValueError(f"{name}: padding='same' needs stride 1, as in torch; 'same_upper' gives ceil(size / stride) outputs at any stride")
    before, after = [], []
    for size, k, s, d in zip(sizes, kernel, stride, dilation):
        if s == 1:
            total = d * (k - 1)
        elif isinstance(size, int):
            total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        else:
            raise ShapeError(f"{name}: padding='{padding}' with stride {s} depends on the size {size}, which is not known yet; give the zeros as ints")
        less, more = total // 2, total - total // 2
        before.append(more if mode == "same_lower" else less)
        after.append(less if mode == "same_lower" else more)
    return tuple(before), tuple(after)


@lru_cache(maxsize=1024)
def _window(n: int, name: str, sizes: tuple[AnySize, ...], kernel: tuple[Any, ...], stride: Any, padding: Any, dilation: Any, groups: int) -> Window:
    if int(groups) < 1:
        raise AttributeValueError(f"{name}: {groups} groups")
    s, d = each(n, stride, "stride", name, 1), each(n, dilation, "dilation", name, 1)
    before, after = paddings(n, padding, sizes, kernel, s, d, name)
    return Window(kernel, s, before, after, d, int(groups))


def window(n: int, name: str, sizes: tuple[AnySize, ...], kernel: tuple[Any, ...], stride: Any, padding: Any, dilation: Any, groups: int) -> Window:
    """Arguments of a convolution over n dimensions, checked. `sizes`: those of the image that is padded."""
    if len(sizes) != n or len(kernel) != n:
        raise ShapeError(f"{name}: an image with {n} dimensions behind [N, C] and weights with {n} behind [O, C/groups] expected")
    frozen = (tuple(v) if isinstance(v, list) else v for v in (stride, padding, dilation))
    return _window(n, name, sizes if isinstance(padding, str) else (), kernel, *frozen, groups)
