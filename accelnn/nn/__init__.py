"""Layers with torch's names, arguments, parameter names and defaults. A layer's fields are the layer."""

from . import attention, conv, init, layers, loss, module, norm, recurrent, transformer
from .attention import *  # noqa: F403
from .conv import *  # noqa: F403
from .layers import *  # noqa: F403
from .loss import *  # noqa: F403
from .module import *  # noqa: F403
from .norm import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .transformer import *  # noqa: F403

__all__ = ["init"]
__all__ += attention.__all__
__all__ += conv.__all__
__all__ += layers.__all__
__all__ += loss.__all__
__all__ += module.__all__
__all__ += norm.__all__
__all__ += recurrent.__all__
__all__ += transformer.__all__
