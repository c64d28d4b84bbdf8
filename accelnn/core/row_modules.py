"""Importing the Python modules of device rows, where Triton is and where it is not.

A row's module begins with `import triton`, for the language of its kernels. What runs on the host, the row functions, needs nothing of it: which
kernel is launched, how often and with what. Without Triton, modules of accelnn.kernels are loaded with an `__import__` of their own, to which triton is a
stand-in that knows a kernel's name and parameters. Nothing else in the process sees it: a stand-in in sys.modules would tell torch that Triton is there."""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

PACKAGE = "accelnn.kernels."


@cache
def triton_is_here() -> bool:
    return importlib.util.find_spec("triton") is not None


class Name:
    """Something of Triton's that is only named: tl.float32, tl.PropagateNan.ALL."""

    constexpr: Any

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Name:
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(f"{self.name}.{name}")

    def __repr__(self) -> str:
        return self.name


class Constexpr:
    """A number that kernels read and hosts too: LOG2E = tl.constexpr(1.44), LOG2E.value."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Kernel:
    """A @triton.jit function that cannot be compiled here: what a launch has to know of it."""

    def __init__(self, fn: Callable[..., Any], do_not_specialize: Sequence[str | int] = ()) -> None:
        self.fn, self.__name__, self.__module__, self.__doc__ = fn, fn.__name__, fn.__module__, fn.__doc__
        self.arg_names = list(inspect.signature(fn).parameters)
        self.params = [SimpleNamespace(name=n, do_not_specialize=n in do_not_specialize or i in do_not_specialize) for i, n in enumerate(self.arg_names)]

    def __repr__(self) -> str:
        return f"<kernel {self.__module__}.{self.__name__}, which is not compiled: triton is not installed>"


def jit(fn: Callable[..., Any] | None = None, **options: Any) -> Any:
    made = {k: v for k, v in options.items() if k == "do_not_specialize"}
    return Kernel(fn, **made) if fn is not None else lambda fn: Kernel(fn, **made)


LANGUAGE = Name("triton.language")
LANGUAGE.constexpr = Constexpr
TRITON = SimpleNamespace(jit=jit, language=LANGUAGE)


def _import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    if level == 0 and name in ("triton", "triton.language"):
        return LANGUAGE if fromlist and name != "triton" else TRITON
    return builtins.__import__(name, globals, locals, fromlist, level)


class Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {**builtins.__dict__, "__import__": _import}
        super().exec_module(module)


class Finder:
    """See importlib.abc.MetaPathFinder."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        found = importlib.machinery.PathFinder.find_spec(name, path, target) if name.startswith(PACKAGE) and path is not None else None
        if found is not None and type(found.loader) is importlib.machinery.SourceFileLoader:
            found.loader = Loader(found.loader.name, found.loader.path)
        return found


def row_module(name: str) -> ModuleType:
    """accelnn.kernels.<name>."""
    if not triton_is_here() and Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
    return importlib.import_module(PACKAGE + name)
