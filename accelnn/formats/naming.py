"""Errors of importers, told with the node that they came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import Error, FormatError, OutOfMemory


@contextmanager
def named(call: object) -> Iterator[None]:
    """What goes wrong inside names the call: an Error keeps its type, what a broken file makes of plain Python becomes a FormatError."""
    try:
        yield
    except Error as problem:
        if repr(call) not in str(problem):
            raise type(problem)(f"{call}: {problem}") from problem
        raise
    except MemoryError as problem:
        raise OutOfMemory(f"{call}: {problem}") from problem
    except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, OverflowError, AttributeError, RuntimeError) as problem:
        raise FormatError(f"{call}: {type(problem).__name__}: {problem}") from problem
