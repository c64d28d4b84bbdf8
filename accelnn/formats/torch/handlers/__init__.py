"""What each of torch's ops is in accelnn's functions, by subject. Importing this package fills call.HANDLERS."""

from . import convolution, creation, indexing, network, normalization, pointwise, pooling, recurrent, reduction, shapes  # noqa: F401
