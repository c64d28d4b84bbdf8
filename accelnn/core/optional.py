"""The one way to import something optional."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingExtra


def need(name: str, extra: str) -> ModuleType:
    """Imports `name`, or raises MissingExtra with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as reason:
        raise MissingExtra(f'{name} is not installed; pip install "accelnn[{extra}]"') from reason
