"""What the calls of a Plan have to do: operations and bytes, beside the time that they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.device import get_num_threads
from ..core.dims import Dim, Size
from ..core.dtypes import DType
from ..core.graph import Graph, Spec
from ..core.registry import OPCODES, OPS
from ..core.roofline import limit
from ..passes.plan_memory import Schedule, ScheduledCall

PICKED = {"gather", "take", "embedding", "gather_nd"}  # read of their first operand only what they give


def sizes_of(graph: Graph, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """The named dimensions' sizes, from those of the inputs."""
    found: dict[str, int] = {}
    for node, shape in zip(graph.inputs, shapes):
        for size, n in zip(node.outputs[0].shape, shape):
            if isinstance(size, Size) and len(size.terms) == 1:
                ((atoms, c),) = size.terms.items()
                if c == 1 and len(atoms) == 1 and isinstance(atoms[0], Dim):
                    found[atoms[0].name] = int(n)
    return found


def number(size: Any, sizes: Mapping[str, int]) -> Any:
    """A size with the dimensions' sizes put in; of a tuple each."""
    if isinstance(size, tuple):
        return tuple(number(s, sizes) for s in size)
    return size.evaluate(sizes) if isinstance(size, Size) else size


def nbytes(spec: Spec) -> int:
    n = spec.dtype.itemsize
    for s in spec.shape:
        n *= int(s)  # type: ignore[arg-type]
    return n


def _peak(specs: Sequence[Spec]) -> str:
    """The instruction whose peak an op's arithmetic has, by what it multiplies."""
    dtypes = {s.dtype for s in specs[:3] if s.shape}
    return "int8" if dtypes & {DType.int8, DType.uint8} else "bf16" if DType.bfloat16 in dtypes else "fma"


def cost(call: ScheduledCall, sizes: Mapping[str, int]) -> dict[str, Any]:
    """{"flops", "bytes", "weight_bytes", "peak"} of one call: by its op's own row where that says, else every operand and result once."""
    once, times = _cost(call, sizes), number(call.times, sizes)
    return {k: v if k == "peak" else v * times for k, v in once.items()} if times != 1 else once


def _cost(call: ScheduledCall, sizes: Mapping[str, int]) -> dict[str, Any]:
    def known(spec: Spec) -> Spec:
        return Spec(number(spec.shape, sizes), spec.dtype)

    node = call.node
    if node is None or (call.op == "copy" and node.op != "copy"):
        moved = sum(nbytes(known(w.spec)) for w in (*call.inputs, *call.outputs) if w is not None)
        return {"flops": 0, "bytes": moved, "weight_bytes": 0, "peak": "fma"}
    inputs = [None if v is None else known(v.spec) for v in node.inputs]
    present = [s for s in inputs if s is not None]
    results = [known(s) for s, w in zip(node.outputs, call.outputs) if w is not None]
    fixed = sum(nbytes(s) for v, s in zip(node.inputs, inputs) if v is not None and s is not None and v.node.op == "constant")
    op = OPS[node.op]
    flops, moved = 0, sum(map(nbytes, (*present, *results)))
    if node.op in PICKED:
        moved = 2 * sum(map(nbytes, results)) + sum(map(nbytes, present[1:]))
        fixed = min(fixed, sum(map(nbytes, results)))
    elif node.op == "pointwise":
        program, elements = node.attrs["program"], nbytes(results[0]) // results[0].dtype.itemsize
        flops = _instructions(program) * elements
    elif op.cost is not None:
        flops, moved = (int(x) for x in op.cost(*inputs, **{k: number(v, sizes) for k, v in node.attrs.items()}))
    return {"flops": flops, "bytes": moved, "weight_bytes": min(fixed, moved), "peak": _peak(present)}


def _instructions(program: Sequence[int]) -> int:
    free = {OPCODES[name][0] for name in ("const", "copy")}
    return sum(code not in free for code in program[1 + program[0] :: 4])


def memory(schedule: Schedule, sizes: Mapping[str, int], weights: int, arena: int) -> dict[str, int]:
    """Bytes of the weights, of the arena (temporaries and the kernels' workspace), of inputs and outputs, and of all that together."""
    ports = [sum(nbytes(Spec(number(w.spec.shape, sizes), w.spec.dtype)) for w in windows) for windows in (schedule.inputs, schedule.outputs)]
    return {"weights": weights, "arena": arena, "inputs": ports[0], "outputs": ports[1], "peak": weights + arena + sum(ports)}


def add_shares(rows: Sequence[dict[str, Any]], ceilings: Mapping[str, Any], plan_bytes: int) -> None:
    """`bound_by` and `share`: the limit that binds each call, and the least time it allows over the time that was taken."""
    threads = get_num_threads()
    for row in rows:
        found = limit(dict(ceilings), row["peak"], row["flops"], row["bytes"], row["weight_bytes"], plan_bytes, threads)
        if found is not None and row.get("ns"):
            row["bound_by"], row["share"] = found[0], found[1] * 1e9 / row["ns"]


class Report(list[dict[str, Any]]):
    """The rows of a report; printed, a table."""

    def __str__(self) -> str:
        timed = any("ns" in row for row in self)
        head = [("op", "layer", "kernel row", "result", *(("us", "GFLOP/s", "GB/s", "of limit") if timed else ()))]
        table = head + [_cells(row, timed) for row in self]
        widths = [max(len(row[i]) for row in table) for i in range(len(head[0]))]
        return "\n".join("  ".join(c.rjust(w) if i > 3 else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in table)


def _cells(row: Mapping[str, Any], timed: bool) -> tuple[str, ...]:
    cells = (row["op"], row["label"], row["row"], ", ".join(o for o in row["outputs"] if o != "absent[]"))
    if not timed:
        return cells
    if not row["ns"]:
        return (*cells, "", "", "", "not run")
    ns = row["ns"]
    share = f"{100 * row['share']:.0f}% {row['bound_by']}" if "share" in row else ""
    return (*cells, f"{row['ns'] / 1e3:.2f}", f"{row['flops'] / ns:.1f}" if row["flops"] else "", f"{row['bytes'] / ns:.1f}", share)
