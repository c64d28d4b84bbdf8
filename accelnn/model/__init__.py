"""Model: a network whose weights stand still, as a Plan; and compile, compress, load, save."""

from .compiled import compile
from .compress import compress
from .model import Model, freeze, load, save

__all__ = ["Model", "compile", "compress", "freeze", "load", "save"]
