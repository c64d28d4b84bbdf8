"""Who we are compared with. Each library has a module here with a table WORKS: work -> {label: make}, where make(inputs, threads) prepares one call with
its own output memory; and about(threads), which names version and backend. The libraries are imported when they are first asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import AttributeValueError
from ..works import Inputs, Work

LIBRARIES = ("torch", "numpy", "onnxruntime")
NEEDS = {"torch": ("torch",), "numpy": ("numpy",), "onnxruntime": ("onnxruntime", "onnx")}


@dataclass
class Prepared:
    """A call that is ready to be timed, and its results afterwards."""

    run: Callable[[], Any]
    results: Callable[[], list[np.ndarray]]


Make = Callable[[Inputs, int], Prepared]


@dataclass(frozen=True)
class Peer:
    library: str
    label: str            # as it is printed: torch.mm
    make: Make


def names(text: str) -> list[str]:
    """'torch,numpy' -> the libraries; `none` for nobody."""
    asked = [name for name in text.split(",") if name and name != "none"]
    if unknown := [name for name in asked if name not in LIBRARIES]:
        raise AttributeValueError(f"--against {','.join(unknown)}: the peers are {', '.join(LIBRARIES)}")
    return asked


def missing(library: str) -> list[str]:
    """Packages that this library's comparison needs and that are not installed."""
    return [name for name in NEEDS[library] if importlib.util.find_spec(name) is None]


def present(libraries: Sequence[str]) -> list[str]:
    return [name for name in libraries if not missing(name)]


def about(library: str, threads: int) -> str:
    """Version, backend and threads: "2.13.0, oneDNN ..."."""
    return str(_module(library).about(threads))


def peers(work: Work, libraries: Sequence[str]) -> list[Peer]:
    """Every peer that does this work, of the libraries that are installed."""
    found = []
    for library in present(libraries):
        table: dict[str, dict[str, Make]] = _module(library).WORKS
        found += [Peer(library, label, make) for label, make in table.get(work.peers or work.name, {}).items()]
    return found


def _module(library: str) -> Any:
    return importlib.import_module(f"{__name__}.{library}")
