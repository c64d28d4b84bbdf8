"""Whether convolutions may take Winograd's way (an.conv2d: `exact`), for a whole process or for some lines of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

_everywhere = os.environ.get("ACCELNN_EXACT_CONVOLUTIONS", "") not in ("", "0")
_here: ContextVar[bool | None] = ContextVar("exact_convolutions", default=None)


def exact_wanted() -> bool:
    """Whether convolutions that do not say so themselves are exact now, in this thread."""
    here = _here.get()
    return _everywhere if here is None else here


def set_exact_convolutions(on: bool = True) -> None:
    """No convolution of this process takes a fast algorithm (Winograd) from now on, in any thread; False allows it again (the default, unless the
    environment says ACCELNN_EXACT_CONVOLUTIONS=1). Plans keep what was set when they were compiled."""
    global _everywhere
    _everywhere = bool(on)


@contextlib.contextmanager
def exact_convolutions(on: bool = True) -> Iterator[None]:
    """Inside, convolutions of this thread are exact (with on=False: need not be), whatever the process says: eager calls and their gradients, and what is
    compiled, loaded or traced here, which stays so. A call's own exact=True holds anywhere.

    Exact means: the error of an output is bounded by its own terms (gamma_K sum |x| |w|). Winograd's is bounded by the largest numbers that a tile of
    the image sees; it is 2 to 3 times faster at 3x3."""
    token = _here.set(bool(on))
    try:
        yield
    finally:
        _here.reset(token)


__all__ = ["exact_convolutions", "set_exact_convolutions"]
