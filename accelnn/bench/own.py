"""Kernels of one's own, registered from Python: they are checked and timed beside accelnn and everybody else."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import AttributeValueError
from .works import WORKS, Inputs, Work, work_named


@dataclass(frozen=True)
class Own:
    """`run` gets the operands as numpy arrays and the op's attributes as keywords, and returns the result (numpy, torch or accelnn)."""

    name: str
    op: str
    run: Callable[..., Any]

    def does(self, work: Work) -> bool:
        return self.op == work.name or (self.op == work.op and work.plain)

    def prepare(self, x: Inputs) -> Callable[[], Any]:
        arrays, attrs, run = x.arrays, x.attrs, self.run
        return (lambda: run(*arrays, **attrs)) if attrs else (lambda: run(*arrays))


OWN: dict[str, Own] = {}


def register(name: str, op: str, run: Callable[..., Any] | None = None) -> Any:
    """Registers a kernel of one's own for an op (or one work of it: "matmul_nk"). Without `run`, a decorator.

        an.bench.register("mine", op="matmul", run=lambda a, b: my_library.matmul(a, b))"""
    if run is None:
        return lambda function: register(name, op, function)
    if not callable(run):
        raise AttributeValueError(f"register('{name}'): run is {run!r}; a function of numpy arrays expected")
    if name in OWN or name == "accelnn":
        raise AttributeValueError(f"register('{name}'): the name is taken")
    if op not in WORKS:
        work_named(op)                  # says which there are
    OWN[name] = Own(name, op, run)
    return run


def load(module: str) -> None:
    """Imports a module, or runs a file, that registers kernels."""
    path = Path(module)
    before = set(OWN)
    if path.suffix == ".py":
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.exists():
            raise AttributeValueError(f"--with {module}: there is no such file")
        made = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    else:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as reason:
            if reason.name != module.partition(".")[0]:
                raise
            raise AttributeValueError(f"--with {module}: there is no such module here; a file is written with its .py") from None
    if set(OWN) == before:
        raise AttributeValueError(f"--with {module}: it registers nothing; it should call accelnn.bench.register(name, op=..., run=...)")
