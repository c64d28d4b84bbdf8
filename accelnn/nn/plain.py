"""The everyday layers, gathered from their modules."""

from . import activation, containers, dropout, pool, reshape, sparse
from .activation import *  # noqa: F403
from .containers import *  # noqa: F403
from .dropout import *  # noqa: F403
from .pool import *  # noqa: F403
from .reshape import *  # noqa: F403
from .sparse import *  # noqa: F403

__all__: list[str] = []
__all__ += activation.__all__
__all__ += containers.__all__
__all__ += dropout.__all__
__all__ += pool.__all__
__all__ += reshape.__all__
__all__ += sparse.__all__
