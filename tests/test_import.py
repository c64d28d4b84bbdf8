"""What `import accelnn` costs and touches, and that the typed stub says what the extension has."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import accelnn
from accelnn import _C

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "triton", "cupy", "matplotlib", "rich", "onnx", "onnxruntime", "sklearn", "safetensors", "pandas", "subprocess", "multiprocessing")
MEASURE = """
import json, sys, time
import numpy
began = time.perf_counter()
import accelnn
ms = (time.perf_counter() - began) * 1e3
print(json.dumps({"ms": ms, "modules": sorted({m.split(".")[0] for m in sys.modules}), "rooms": sorted(m for m in sys.modules if m.startswith("accelnn.")),
                  "random": "numpy.random" in sys.modules}), file=sys.stderr)
"""


def fresh(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter that may keep its bytecode, as an installed package does."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": str(folder)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=folder)


def test_import_is_quick_quiet_and_alone(tmp_path: Path) -> None:
    runs = [fresh(MEASURE, tmp_path) for _ in range(8)][1:]     # the first one compiles
    seen = [json.loads(run.stderr) for run in runs]             # fails if anything else was printed there
    assert not any(run.stdout for run in runs)
    assert not sorted(set(HEAVY) & set(seen[0]["modules"]))
    assert "accelnn.deploy" not in seen[0]["rooms"] and "accelnn.practice" not in seen[0]["rooms"]
    assert not seen[0]["random"], "10 ms, for samples that tests alone draw"
    assert min(s["ms"] for s in seen) <= 40, f"milliseconds over numpy: {[round(s['ms'], 1) for s in seen]}"


def test_import_starts_no_thread_and_allocates_little(tmp_path: Path) -> None:
    code = "import accelnn, os\nfrom accelnn import _C\nprint(len(os.listdir('/proc/self/task')), _C.machine()['memory']['live'])"
    without = "import numpy, os\nprint(len(os.listdir('/proc/self/task')))"
    tasks, live = map(int, fresh(code, tmp_path).stdout.split())
    assert tasks == int(fresh(without, tmp_path).stdout), "the pool starts with the first work that is worth it"
    assert live < 1 << 20


def test_every_public_name_is_there() -> None:
    for name in accelnn.__all__:
        assert getattr(accelnn, name) is not None, name
    for room in (accelnn.nn, accelnn.optim, accelnn.ops):
        for name in room.__all__:
            assert getattr(room, name) is not None, f"{room.__name__}.{name}"


def test_the_stub_holds_every_name_of_the_extension() -> None:
    stub = ast.parse((ROOT / "accelnn/_C.pyi").read_text())
    functions = {n.name for n in stub.body if isinstance(n, ast.FunctionDef)}
    constants = {n.target.id for n in stub.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    classes = {n.name: n for n in stub.body if isinstance(n, ast.ClassDef)}
    public = {name for name in dir(_C) if not name.startswith("_")}
    assert public == {n for n in functions | constants | set(classes) if hasattr(_C, n)}, "a name of _C is missing in accelnn/_C.pyi"
    assert functions | constants <= public, "accelnn/_C.pyi names what _C does not have"
    for name in public & set(classes):
        same_members(classes[name], getattr(_C, name))


def same_members(stub: ast.ClassDef, real: Any) -> None:
    """A class, or a submodule written as one, with the classes in it."""
    told = {m.target.id if isinstance(m, ast.AnnAssign) and isinstance(m.target, ast.Name) else m.name: m
            for m in stub.body if isinstance(m, (ast.FunctionDef, ast.AnnAssign, ast.ClassDef))}  # fmt: skip
    members = {m for m in vars(real) if not m.startswith(("__", "_pybind11_"))}
    assert members == {m for m in told if not m.startswith("__")}, f"members of {stub.name} in accelnn/_C.pyi"
    for name, inner in told.items():
        if isinstance(inner, ast.ClassDef):
            same_members(inner, getattr(real, name))


def test_the_stub_describes_the_dicts() -> None:
    stub = ast.parse((ROOT / "accelnn/_C.pyi").read_text())
    fields = {n.name: {f.target.id for f in n.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)} for n in stub.body
              if isinstance(n, ast.ClassDef) and any(ast.unparse(b) == "TypedDict" for b in n.bases)}  # fmt: skip
    op = _C.ops()[0]
    machine = _C.machine()
    for name, value in (("OpTable", op), ("Row", op["rows"][0]), ("Attribute", op["attrs"][0]), ("Machine", machine), ("Memory", machine["memory"])):
        assert set(value) == fields[name], name


def test_py_typed_travels() -> None:
    assert (Path(accelnn.__file__).parent / "py.typed").exists()
    assert inspect.getdoc(accelnn)
