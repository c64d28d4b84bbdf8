"""kernels/<family>/gpu_expect.json: for each device row a call, and what its kernels may and must be once compiled.

    "softmax_f32_triton": {"op": "softmax", "inputs": [["float32", [64, 1000]]], "attrs": {}, "targets": {
        "sm_90": {"registers": 40, "spills": 0, "shared": 64, "needs": {"LDG": 1}}, ...}}

A target without a line is one for which the row refuses. registers, spills, shared: the most that any kernel of the call may take. needs: instructions
that must be there, at least so many in all its kernels.

    python -m tests.gpu_emulation.expectations matmul conv2d    compiles the rows of these families that have no entry yet, or one without targets, and
                                                                writes down what came out, registers rounded up to a multiple of 8: read it

An entry that is written by hand up to its attrs is compiled for that call; otherwise the largest sample of the op is taken that the row takes. Rows that
share a function with many others (moves of 13 dtypes) are measured once, for float32."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from accelnn.core.dtypes import DType
from accelnn.core.registry import OPS
from accelnn.core.remote_call import TableRow
from accelnn.emulation.ahead import TARGETS, Compiled

from .recording import Question, Recording, device_rows, ops_of, question_of

ROOT = Path(__file__).resolve().parents[2]
# Instructions worth asking for: tensor cores, copies that run beside the arithmetic.
TELLING = ("HGMMA", "IGMMA", "QGMMA", "UTC*MMA", "HMMA", "IMMA", "QMMA", "UTMALDG", "UTMASTG", "LDGSTS", "v_mfma_*")


def path_of(row: TableRow) -> Path:
    return ROOT / "kernels" / row.where.split(".")[0] / "gpu_expect.json"


def entries() -> dict[str, dict[str, Any]]:
    """All tables in one."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "kernels").glob("*/gpu_expect.json")):
        found |= json.loads(path.read_text())
    return found


def question(entry: dict[str, Any]) -> Question:
    inputs = tuple(None if i is None else (i[0], tuple(i[1])) for i in entry["inputs"])
    return Question(entry["op"], inputs, {k: tuple(v) if isinstance(v, list) else v for k, v in entry["attrs"].items()})


def complaints(expected: dict[str, Any], made: list[Compiled]) -> list[str]:
    """What the compiled kernels of a call have that they may not, and lack that they must have."""
    wrong = []
    for kernel in made:
        found = {"registers": kernel.resources["registers"], "spills": kernel.resources["spills"], "shared": kernel.shared}
        wrong += [f"{kernel.kernel}: {n} {found[n]}, at most {expected[n]} are allowed" for n in found if found[n] > expected[n]]
    for name, least in expected["needs"].items():
        there = sum(kernel.count(name) for kernel in made)
        if there < least:
            wrong.append(f"{there} instructions {name}, at least {least} are needed")
    return wrong


def measure(made: list[Compiled]) -> dict[str, Any]:
    telling = {name: sum(kernel.count(name) for kernel in made) for name in TELLING}
    return {"registers": -(-max(k.resources["registers"] for k in made) // 8) * 8, "spills": max(k.resources["spills"] for k in made),
            "shared": max(k.shared for k in made), "needs": {name: 1 for name, n in telling.items() if n}}  # fmt: skip


def first_question(kernel: str, row: TableRow) -> Question | None:
    """The largest sample of the kernel's ops that the row takes."""
    found: list[tuple[int, Question]] = []
    for op in ops_of(kernel):
        for arrays, attrs in OPS[op.name].samples():
            here = question_of(op.name, arrays, attrs)
            if row.why_not(here.on(Recording("sm_90"))) is None:
                found.append((sum(int(np.prod(i[1])) for i in here.inputs if i is not None), here))
    return max(found, key=lambda f: f[0])[1] if found else None


def _plain(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes as a table has them: element types by name."""
    return {k: v.name if isinstance(v, DType) else v for k, v in attrs.items()}


MANY = 6  # rows of one function: more differ in how wide an element is, and in nothing else


def measured() -> dict[str, tuple[str, TableRow]]:
    """The rows that need an entry."""
    rows = device_rows()
    shared = Counter(row.where for _, row in rows.values())
    return {name: (kernel, row) for name, (kernel, row) in rows.items() if shared[row.where] <= MANY or row.dtype == DType.float32}


def asked_of_another(row: TableRow) -> Question | None:
    """A call that a row of the same function for another dtype takes, in this row's dtype."""
    for kernel, other in device_rows().values():
        found = first_question(kernel, other) if other.where == row.where and other.name != row.name else None
        if found is not None:
            inputs = tuple((row.dtype.name, i[1]) if i is not None and i[0] == other.dtype.name else i for i in found.inputs)
            asked = Question(found.op, inputs, found.attrs)
            if row.why_not(asked.on(Recording("sm_90"))) is None:
                return asked
    return None


def main(families: list[str]) -> int:
    missing = []
    for name, (kernel, row) in measured().items():
        path = path_of(row)
        table = json.loads(path.read_text()) if path.exists() else {}
        if path.parent.name not in families or "targets" in table.get(name, ()):
            continue
        asked = question(table[name]) if name in table else first_question(kernel, row) or asked_of_another(row)
        if asked is None:
            missing.append(name)
            continue
        launches = {target: asked.launches(row, target) for target in TARGETS}
        targets = {target: measure([launch.compile(target) for launch in made]) for target, made in launches.items() if made is not None}
        inputs = [None if i is None else [i[0], list(i[1])] for i in asked.inputs]
        table[name] = {"op": asked.op, "inputs": inputs, "attrs": _plain(asked.attrs), "targets": targets}
        write(path, table)
        print(name, json.dumps(targets), flush=True)
    for name in missing:
        print(f"{name}: no sample of its op is one that it takes; write its entry by hand", file=sys.stderr)
    return 1 if missing else 0


def write(path: Path, table: dict[str, Any]) -> None:
    """A line a target."""
    rows = []
    for name, entry in table.items():
        head = ", ".join(f'"{k}": {json.dumps(entry[k])}' for k in ("op", "inputs", "attrs"))
        targets = ",\n".join(f"      {json.dumps(t)}: {json.dumps(e)}" for t, e in entry.get("targets", {}).items())
        rows.append(f'  "{name}": {{\n    {head}' + (f',\n    "targets": {{\n{targets}\n    }}' if targets else "") + "\n  }")
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
