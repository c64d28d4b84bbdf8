"""What each operation is, one row an op: shape rule, float64 reference, gradient, cost, samples. What a module lists in `__all__` is accelnn's."""

from __future__ import annotations

from ..core.questions import connect
from . import (  # noqa: F401, I001
    activation,
    arithmetic,
    arrange,
    attention,
    channel_norm,
    conv,
    conv_bounds,
    conv_eager,
    conv_nd,
    conv_nhwc,
    conv_transpose,
    conv_volume,
    creation,
    ctc,
    decode,
    distance,
    dynamic,
    elements,
    elementwise,
    exactness,
    formula,
    fractional,
    functions,
    indexing,
    indices,
    loss,
    matmul,
    methods,
    normalize,
    order,
    packed,
    paged,
    places,
    planes,
    pool,
    pool_nhwc,
    pooling,
    qconv,
    quantized,
    random,
    recurrent,
    recurrent_math,
    recurrent_wgrad,
    reduce,
    resizing,
    rotary,
    row_norm,
    rows,
    shape,
    slices,
    sparse,
    sparse_conv,
    varlen,
    weight_only,
    window,
)
from .activation import *  # noqa: F403
from .arithmetic import *  # noqa: F403
from .arrange import *  # noqa: F403
from .attention import *  # noqa: F403
from .channel_norm import *  # noqa: F403
from .conv import *  # noqa: F403
from .conv_nd import *  # noqa: F403
from .conv_transpose import *  # noqa: F403
from .creation import *  # noqa: F403
from .ctc import *  # noqa: F403
from .decode import *  # noqa: F403
from .distance import *  # noqa: F403
from .dynamic import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .exactness import *  # noqa: F403
from .fractional import *  # noqa: F403
from .functions import *  # noqa: F403
from .indexing import *  # noqa: F403
from .loss import *  # noqa: F403
from .matmul import *  # noqa: F403
from .normalize import *  # noqa: F403
from .order import *  # noqa: F403
from .packed import *  # noqa: F403
from .paged import *  # noqa: F403
from .pooling import *  # noqa: F403
from .quantized import *  # noqa: F403
from .random import *  # noqa: F403
from .resizing import *  # noqa: F403
from .rotary import *  # noqa: F403
from .row_norm import *  # noqa: F403
from .sparse import *  # noqa: F403
from .sparse_conv import *  # noqa: F403
from .varlen import *  # noqa: F403
from .weight_only import *  # noqa: F403

connect(arithmetic.operator)

__all__: list[str] = []
__all__ += activation.__all__
__all__ += arithmetic.__all__
__all__ += arrange.__all__
__all__ += attention.__all__
__all__ += channel_norm.__all__
__all__ += conv.__all__
__all__ += conv_nd.__all__
__all__ += conv_transpose.__all__
__all__ += creation.__all__
__all__ += ctc.__all__
__all__ += decode.__all__
__all__ += distance.__all__
__all__ += dynamic.__all__
__all__ += elementwise.__all__
__all__ += exactness.__all__
__all__ += fractional.__all__
__all__ += functions.__all__
__all__ += indexing.__all__
__all__ += loss.__all__
__all__ += matmul.__all__
__all__ += normalize.__all__
__all__ += order.__all__
__all__ += packed.__all__
__all__ += paged.__all__
__all__ += pooling.__all__
__all__ += quantized.__all__
__all__ += random.__all__
__all__ += resizing.__all__
__all__ += rotary.__all__
__all__ += row_norm.__all__
__all__ += sparse.__all__
__all__ += sparse_conv.__all__
__all__ += varlen.__all__
__all__ += weight_only.__all__
