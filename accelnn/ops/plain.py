"""The everyday operations on tensors, gathered from their modules."""

from __future__ import annotations

from . import activation, arrange, functions, indexing, order, pooling, resizing
from .activation import *  # noqa: F403
from .arrange import *  # noqa: F403
from .functions import *  # noqa: F403
from .indexing import *  # noqa: F403
from .order import *  # noqa: F403
from .pooling import *  # noqa: F403
from .resizing import *  # noqa: F403

__all__: list[str] = []
__all__ += activation.__all__
__all__ += arrange.__all__
__all__ += functions.__all__
__all__ += indexing.__all__
__all__ += order.__all__
__all__ += pooling.__all__
__all__ += resizing.__all__
