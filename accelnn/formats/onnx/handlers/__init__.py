"""What each ONNX op is in accelnn's functions, by subject. Importing this package fills call.HANDLERS."""

from . import arithmetic, convolution, indexing, network, normalization, quantized, recurrent, reduction, shapes, structure  # noqa: F401
