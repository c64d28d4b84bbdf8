"""What each ONNX op is in accelnn's functions, by subject. Importing this package fills call.HANDLERS."""

from . import (  # noqa: F401
    arithmetic,
    attention,
    convolution,
    flow,
    indexing,
    network,
    normalization,
    quantized,
    recurrent,
    reduction,
    resize,
    shapes,
    signal,
    structure,
)
