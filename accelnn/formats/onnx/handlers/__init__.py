"""What each ONNX op is in accelnn's functions, by subject. Importing this package fills call.HANDLERS."""

from . import arithmetic, attention, convolution, indexing, network, normalization, quantized, recurrent, reduction, resize, shapes, signal, structure  # noqa: F401
