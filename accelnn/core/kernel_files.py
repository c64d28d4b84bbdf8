"""Where the compiled form of a kernel comes from: a file that `accelnn kernels compile` wrote, or Triton."""

from __future__ import annotations

import ast
import hashlib
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..emulation.ahead import Compiled
from ..emulation.specialize import specialize
from .errors import KernelError
from .kernel_file import KernelFile
from .row_modules import PACKAGE, triton_is_here

VARIABLE = "ACCELNN_KERNELS"
_loaded: list[KernelFile] = []


@cache
def _of_environment(paths: str) -> tuple[KernelFile, ...]:
    return tuple(KernelFile(p) for p in paths.split(os.pathsep) if p)


def load_kernels(path: str | os.PathLike[str]) -> int:
    """Makes the kernels of a file known to every device of this process, before those of files loaded earlier. How many there are.
    ACCELNN_KERNELS=path[:path] does the same without a call."""
    opened = KernelFile(path)
    _loaded.insert(0, opened)
    return len(opened.entries)


def files() -> tuple[KernelFile, ...]:
    return (*_loaded, *_of_environment(os.environ.get(VARIABLE, "")))


def name_of(kernel: Any) -> str:
    """matmul.gpu_triton:_matmul; of a kernel that was written at run time, with a name for its text."""
    function = kernel.fn
    file = function.__code__.co_filename
    return f"{function.__module__.removeprefix(PACKAGE)}:{function.__name__}" + (file if file.startswith("<") else "")


def source_of(kernel: Any) -> str:
    """A hash of all that the kernel may be compiled from: its module, the modules beside it which that imports, and a text written at run time."""
    function = kernel.fn
    digest = hashlib.sha256()
    for module in sorted(_modules(function.__module__)):
        digest.update(f"{module}\n".encode() + _text(module))
    if function.__code__.co_filename.startswith("<"):
        digest.update("".join(linecache.getlines(function.__code__.co_filename)).encode())
    return digest.hexdigest()


@cache
def _text(module: str) -> bytes:
    file = sys.modules[module].__file__
    assert file is not None
    return Path(file).read_bytes()


@cache
def _modules(name: str) -> frozenset[str]:
    """The module and those that it imports relatively, and so on."""
    found, todo = set(), [name]
    while todo:
        at = todo.pop()
        if at in found or getattr(sys.modules.get(at), "__file__", None) is None:
            continue
        found.add(at)
        for node in ast.walk(ast.parse(_text(at))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join([*at.split(".")[: -node.level], *(node.module or "").split(".")]).rstrip(".")
                todo += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return frozenset(found)


def compiled(kernel: Any, args: Sequence[Any], constants: Mapping[str, Any], target: str, warps: int, stages: int) -> Compiled:
    """The kernel for a launch with these arguments (emulation.ahead.compile says which): out of a file, or compiled now where Triton is."""
    opened = files()
    if opened or not triton_is_here():
        name, source = name_of(kernel), source_of(kernel)
        key = specialize(name, kernel, args, constants).key(warps, stages)
        for file in opened:
            entry = file.found.get((name, key, target, source))
            if entry is not None:
                return Compiled(name, target, file.image(entry), "", entry.entry, entry.parameters, entry.warps, entry.shared,
                                {"global_scratch_size": entry.scratch})  # fmt: skip
        if not triton_is_here():
            raise KernelError(_missing(name, key, target, source, opened))
    from ..emulation.ahead import compile

    return compile(kernel, args, constants, target, warps, stages)


def _missing(name: str, key: str, target: str, source: str, opened: Sequence[KernelFile]) -> str:
    known = [f for f in opened if (name, target) in f.sources]
    other = next((f for f in known if f.sources[name, target] != source), None)
    if other is not None:
        why = f"{other.path} has it compiled from another version of its source"
    elif known:
        why = f"{', '.join(f.path for f in known)} has it for other shapes and types than these: {key}"
    elif opened:
        why = f"it is not in {', '.join(f.path for f in opened)}"
    else:
        why = f"no file of compiled kernels is loaded (an.load_kernels, or {VARIABLE}=path)"
    return (f"kernel {name} for {target}: {why}, and triton, which would compile it, is not installed. Where triton is: accelnn kernels compile "
            f"--arch {target} --call OP SHAPE (or --run MODULE:FUNCTION) -o kernels.zip; "
            'or install it here: pip install "accelnn[cuda13]"')  # fmt: skip
