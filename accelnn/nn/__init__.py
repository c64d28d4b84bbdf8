"""Layers with torch's names, arguments, parameter names and defaults. A layer's fields are the layer."""

from . import (
    activation,
    adaptive,
    attention,
    containers,
    conv,
    distance,
    dropout,
    functional,
    init,
    layers,
    lazy,
    loss,
    margin,
    module,
    norm,
    padding,
    pool,
    recurrent,
    reshape,
    sparse,
    transformer,
    utils,
)
from .activation import *  # noqa: F403
from .adaptive import *  # noqa: F403
from .attention import *  # noqa: F403
from .containers import *  # noqa: F403
from .conv import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .layers import *  # noqa: F403
from .lazy import *  # noqa: F403
from .loss import *  # noqa: F403
from .margin import *  # noqa: F403
from .module import *  # noqa: F403
from .norm import *  # noqa: F403
from .padding import *  # noqa: F403
from .pool import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .reshape import *  # noqa: F403
from .sparse import *  # noqa: F403
from .transformer import *  # noqa: F403

__all__ = ["functional", "init", "utils"]
__all__ += activation.__all__
__all__ += adaptive.__all__
__all__ += attention.__all__
__all__ += containers.__all__
__all__ += conv.__all__
__all__ += distance.__all__
__all__ += dropout.__all__
__all__ += layers.__all__
__all__ += lazy.__all__
__all__ += loss.__all__
__all__ += margin.__all__
__all__ += module.__all__
__all__ += norm.__all__
__all__ += padding.__all__
__all__ += pool.__all__
__all__ += recurrent.__all__
__all__ += reshape.__all__
__all__ += sparse.__all__
__all__ += transformer.__all__
