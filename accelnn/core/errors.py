"""Every error that accelnn raises: one base class, names that say what kind of thing went wrong."""

from __future__ import annotations


class Error(Exception):
    """Base of all errors of accelnn."""


class ShapeError(Error, ValueError):
    """Shapes do not fit the operation, or each other."""


class DTypeError(Error, TypeError):
    """An element type that the operation does not take."""


class AttributeValueError(Error, ValueError):
    """An attribute of an operation is missing, unknown or out of range."""


class AliasError(Error, ValueError):
    """An output overlaps an input in a way that the kernel could not survive, or is read-only."""


class UnsupportedError(Error, NotImplementedError):
    """Something that is in the ledger of what accelnn does not do."""


class KernelError(Error, RuntimeError):
    """No kernel row can run the call here, or a forced one cannot."""


class FormatError(Error, ValueError):
    """Outside bytes that are cut short, corrupt, hostile or of an unknown version."""


class OutOfMemory(Error, MemoryError):
    """The system has no more memory for a tensor or a workspace."""


class BoundError(Error, IndexError):
    """A value outside its stated bounds: a label, a dimension, a view."""


class GraphError(Error, RuntimeError):
    """The graph cannot be built or differentiated as asked."""


class DeviceError(Error, RuntimeError):
    """A device that is not there, or that failed."""


class MissingExtra(Error, ImportError):
    """An optional dependency is not installed."""


# Order of accelnn::Code in csrc/runtime/status.h.
_BY_CODE = (Error, ShapeError, DTypeError, AttributeValueError, AliasError, UnsupportedError, KernelError, FormatError, OutOfMemory, BoundError, DeviceError)


def from_status(code: int, text: str) -> Error:
    """The exception for a failed C++ Status."""
    return _BY_CODE[code](text)
