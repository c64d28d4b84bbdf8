"""What became of a graph and what each call of its Plan costs, as one document: the command `explain` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _C
from ..core.device import get_num_threads, isa_level
from ..core.errors import ShapeError
from ..core.graph import Graph, Node
from ..core.registry import OPS
from ..core.roofline import level_of
from ..passes import DEPLOY
from ..passes.plan_memory import Schedule, schedule
from ..passes.provenance import Change, Origins, Step, explained, ops_of
from .imported import ImportedModel
from .model import Model
from .profile import add_shares, memory, sizes_of

Ceilings = Callable[[set[str]], Mapping[str, Any]]  # names of limits, as bench.ceilings.kinds gives them -> their rates
FAMILIES = {"product": ("matmul", "linear"), "convolution": ("conv", "unfold", "fold"), "attention": ("attention", "rotary", "cache"),
            "recurrence": ("lstm", "gru", "rnn", "recurrent"), "norm": ("norm", "running"), "softmax": ("softmax", "cross_entropy"),
            "pool": ("pool",), "pointwise": (), "reduction": ("sum", "mean", "max", "min", "prod", "cum", "argm", "topk"),
            "movement": ()}  # fmt: skip


def family(op: str) -> str:
    """Which kind of work an op is, for colours."""
    for name, parts in FAMILIES.items():
        if any(part in op for part in parts) and not (name == "reduction" and op in OPS and OPS[op].program is not None):
            return name
    pointwise = op == "pointwise" or (op in OPS and OPS[op].program is not None and op != "copy") or "quantize" in op or op == "cast"
    return "pointwise" if pointwise else "movement"


def explain(model: Model | ImportedModel, feed: Mapping[str, Any], ceilings: Ceilings, repeat: int = 20, graphs: bool = False) -> dict[str, Any]:
    """The document for inputs by name. graphs: with the text of the graph before and after."""
    why = ""
    if isinstance(model, ImportedModel):
        chosen = model.model_for(feed)
        if chosen is not model.general:
            why = model.why or "these sizes break what the general Plan assumes"
        model = chosen
    missing = [name for name, _ in model.inputs if name not in feed]
    if missing:
        raise ShapeError(f"explain: no input {', '.join(missing)}")
    args = [feed[name] for name, _ in model.inputs]
    rows = model.report(*args, profile=True, repeat=repeat)
    lowered, steps, origins = model.lowered, list[Step](), Origins()
    if model.graph is not model.lowered:
        again, steps, origins = explained(model.graph, DEPLOY)
        if [n.op for n in _op_nodes(again)] == [n.op for n in _op_nodes(lowered)]:
            lowered = again
        else:  # what runs was not made by the passes alone: compressed
            steps, origins = [], Origins()
    plan, sizes = schedule(lowered), sizes_of(lowered, [np.shape(a) for a in args])
    used = memory(plan, sizes, model.weight_bytes, model.plan.arena)
    threads = get_num_threads()
    wanted = {f"read {level_of(int(n), threads)}" for n in (used["peak"], *(row["bytes"] for row in rows))} | {r["peak"] for r in rows if r["flops"]}
    measured = ceilings(wanted)
    add_shares(rows, measured, used["peak"])
    calls = _calls(rows, plan, origins)
    machine = _C.machine()
    document = {
        "inputs": [{"name": n, "shape": list(np.shape(a)), "dtype": str(getattr(a, "dtype", "")), "spec": str(s)} for (n, s), a in zip(model.inputs, args)],
        "outputs": [{"name": n, "spec": str(s)} for n, s in model.outputs],
        "special": why, "machine": {"cpu": machine["cpu"], "isa": isa_level()}, "threads": threads, "ceilings": measured,
        "graph": {"before": dict(ops_of(model.graph).most_common()), "after": dict(ops_of(lowered).most_common())},
        "passes": [_step(s) for s in steps], "calls": calls, "total_ns": sum(c["ns"] for c in calls), "ops": _by(calls, "op"),
        "rows": _by(calls, "row"), "memory": used,
    }  # fmt: skip
    if graphs:
        document["graph"] |= {"before_text": str(model.graph), "after_text": str(lowered)}
    return document


def _op_nodes(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes() if not n.is_source]


def _name(node: Node) -> dict[str, str]:
    return {"op": node.op, "label": node.label}


def _change(c: Change) -> dict[str, Any]:
    return {"from": [_name(n) for n in c.before], "into": _name(c.after)}


def _step(s: Step) -> dict[str, Any]:
    changed = {op: n for op in {**s.before, **s.after} if (n := s.after[op] - s.before[op])}
    return {"pass": s.name, "says": s.says, "nodes": [s.before.total(), s.after.total()], "changed": changed, "fused": [_change(c) for c in s.fused],
            "merged": [_change(c) for c in s.merged], "replaced": [_change(c) for c in s.replaced], "folded": [_name(n) for n in s.folded],
            "dropped": [_name(n) for n in s.dropped]}  # fmt: skip


def _calls(rows: Sequence[dict[str, Any]], plan: Schedule, origins: Origins) -> list[dict[str, Any]]:
    """Rows with number, family, the source's nodes that went in, and the calls (or -1 - input) that it reads from."""
    writer: dict[int, int] = {id(w.buffer): -1 - i for i, w in enumerate(plan.inputs)}
    found = []
    for i, (row, call) in enumerate(zip(rows, plan.calls, strict=True)):
        node = call.node
        serves = call.op == "copy" and node is not None and node.op != "copy"  # it copies an operand of the node
        op = call.op if node is None or serves else node.op
        stands = [n for n in origins.get(id(node), {}) if n.is_flow or OPS[n.op].view is None] if node is not None and not serves else []
        reads = sorted({writer[id(w.buffer)] for w in call.inputs if w is not None and id(w.buffer) in writer})
        for w in call.outputs:
            if w is not None:
                writer[id(w.buffer)] = i
        found.append({"number": i, **row, "kernel": row["op"], "op": op, "family": family(op), "reads": reads,
                      "serves": node.op if node is not None and serves else "", "sources": [_name(n) for n in stands]})  # fmt: skip
    return found


def _by(calls: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Calls and nanoseconds by op or by kernel row, most time first."""
    times, counts = Counter[str](), Counter[str]()
    for c in calls:
        times[c[key]] += c["ns"]
        counts[c[key]] += 1
    total = max(sum(times.values()), 1)
    return [{key: name, "calls": counts[name], "ns": ns, "part": ns / total} for name, ns in times.most_common()]
