"""torch.cond, while_loop and scan: operators of higher order, whose bodies are programs of their own."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...core.dtypes import DType
from ...core.errors import UnsupportedError
from ...core.flow import branch, loop
from ...core.tensor import Tensor, as_tensor

if TYPE_CHECKING:
    from .importer import Importer


def _run(work: Importer, module: Any, inputs: Sequence[Any]) -> list[Tensor]:
    """The body's outputs for these inputs."""
    left = iter(inputs)
    for node in module.graph.nodes:
        if node.op == "placeholder":
            work.values[node] = next(left)
        elif node.op == "get_attr":
            work.values[node] = operator.attrgetter(node.target)(module)
        elif node.op == "call_function":
            work.values[node] = work.node(node)
        elif node.op == "output":
            found = node.args[0]
            return [_tensor(work.value(x)) for x in (found if isinstance(found, (list, tuple)) else [found])]
    raise UnsupportedError("from_torch: a body without outputs")


def _tensor(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (bool, int, float)):
        return as_tensor(x, DType.bool if isinstance(x, bool) else DType.int64 if isinstance(x, int) else DType.float32)
    raise UnsupportedError(f"from_torch: a body gives a {type(x).__name__}; tensors are expected")


def _cond(work: Importer, chosen: Any, then: Any, otherwise: Any, operands: Sequence[Any] = ()) -> Any:
    if not isinstance(chosen, Tensor):
        return _run(work, then if chosen else otherwise, operands)
    return branch(chosen.to(DType.bool), lambda: _run(work, then, operands), lambda: _run(work, otherwise, operands))


def _while(work: Importer, going: Any, body: Any, states: Sequence[Any], others: Sequence[Any] = ()) -> Any:
    def again(values: Sequence[Tensor]) -> Tensor:
        return _run(work, going, [*values, *others])[0]

    def step(_: Tensor, before: Sequence[Tensor], __: Sequence[Tensor]) -> Any:
        after = _run(work, body, [*before, *others])
        return again(after), after, []

    start = [_tensor(s) for s in states]
    return loop(step, start, condition=again(start))


def _scan(work: Importer, body: Any, states: Sequence[Any], sequences: Sequence[Any], others: Sequence[Any] = ()) -> Any:
    def step(_: Tensor, before: Sequence[Tensor], parts: Sequence[Tensor]) -> Any:
        found = _run(work, body, [*before, *parts, *others])
        return None, found[: len(states)], found[len(states) :]

    whole = [_tensor(s) for s in sequences]
    return loop(step, [_tensor(s) for s in states], whole, most=whole[0].shape[0])


FLOWS: dict[str, Callable[..., Any]] = {"cond": _cond, "while_loop": _while, "scan": _scan}
