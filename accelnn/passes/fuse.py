"""Fewer passes over memory: bias and activation into the store of products, chains of pointwise operations into one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, rewrite
from ..core.registry import OPCODES, OPS, Op, Program
from ..ops.matmul import ACTIVATIONS
from .build import is_elementwise, literal, only_user, reshaped

PRODUCTS = ("matmul", "conv2d")
BIAS = {"matmul": 2, "conv2d": 2, "dynamic_qmatmul": 3}  # the operand; a residual follows it
MAX_INSTRUCTIONS, MAX_INPUTS = 60, 16


def _fused_specs(*inputs: Spec, program: Sequence[int], shape: Any, dtypes: Sequence[int]) -> tuple[Spec, ...]:
    return tuple(Spec(tuple(shape), DType(d)) for d in dtypes)


def _fused_reference(*inputs: Any, program: Sequence[int], shape: Any, dtypes: Sequence[int]) -> Any:
    """Interprets the program in float64."""
    names = {number: name for name, (number, _) in OPCODES.items()}
    values = [np.broadcast_to(np.asarray(x), shape) for x in inputs]
    n_out = program[0]
    for at in range(1 + n_out, len(program), 4):
        opcode, *operands = program[at : at + 4]
        values.append(INTERPRET[names[opcode]](*operands) if names[opcode] == "const" else INTERPRET[names[opcode]](*(values[i] for i in operands)))
    results = tuple(np.broadcast_to(values[i], shape) for i in program[1 : 1 + n_out])
    return results if n_out > 1 else results[0]


def _function(name: str) -> Any:
    return lambda a, *_: OPS[name].reference(np.asarray(a))


def _slope(name: str) -> Any:
    return lambda a, *_: OPS[name + "_grad"].reference(1.0, np.asarray(a))


# What each instruction means, in numpy; extra operands are ignored. Only the instructions that ops emit are listed.
INTERPRET: dict[str, Any] = {
    "const": lambda bits, *_: float(np.array(bits, np.int32).view(np.float32)),
    "copy": lambda a, *_: a, "neg": lambda a, *_: -a, "abs": lambda a, *_: np.abs(a),
    "add": lambda a, b, _: a + b, "sub": lambda a, b, _: a - b, "mul": lambda a, b, _: a * b, "div": lambda a, b, _: a / b,
    "min": lambda a, b, _: np.minimum(a, b), "max": lambda a, b, _: np.maximum(a, b), "fma": lambda a, b, c: a * b + c,
    "sqrt": lambda a, *_: np.sqrt(a), "exp": lambda a, *_: np.exp(a), "log": lambda a, *_: np.log(a), "tanh": lambda a, *_: np.tanh(a),
    "rsqrt": lambda a, *_: 1 / np.sqrt(a), "log1p": lambda a, *_: np.log1p(a), "square": lambda a, *_: a * a, "reciprocal": lambda a, *_: 1 / a,
    "floor": lambda a, *_: np.floor(a), "rint": lambda a, *_: np.rint(a), "sign": lambda a, *_: np.sign(a), "sin": lambda a, *_: np.sin(a),
    "cos": lambda a, *_: np.cos(a), "expm1": lambda a, *_: np.expm1(a),
    "sigmoid": lambda a, *_: 1 / (1 + np.exp(-a)), "erf": lambda a, *_: OPS["erf"].reference(a), "relu": lambda a, *_: np.maximum(a, 0),
    "pow": lambda a, b, _: np.power(a, b), "select": lambda a, b, c: np.where(a != 0, b, c),
    "eq": lambda a, b, _: (a == b) * 1.0, "ne": lambda a, b, _: (a != b) * 1.0, "lt": lambda a, b, _: (a < b) * 1.0,
    "leaky": lambda a, b, c: np.where(a > 0, b, b * c), "clamp": lambda a, b, c: np.minimum(np.maximum(a, b), c),
    "within": lambda a, b, c: ((a > b) & (a < c)) * 1.0, "gate": lambda a, b, _: np.where(a > 0, b, 0.0),
    **{name: _function(name) for name in ("gelu", "silu", "hardsigmoid", "hardswish")},
    **{name + "_slope": _slope(name) for name in ("gelu", "silu", "hardswish")},
    "le": lambda a, b, _: (a <= b) * 1.0, "gt": lambda a, b, _: (a > b) * 1.0, "ge": lambda a, b, _: (a >= b) * 1.0,
}  # fmt: skip


class _Fused(Op):
    """A pointwise program that stands for several ops; made by this pass, never by hand."""

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        return {"program": list(attrs["program"])}


_Fused("pointwise", _fused_specs, _fused_reference, kernel="pointwise", strided=True)


def _open(node: Node) -> bool:
    """A product that can take in more."""
    return node.op in BIAS and not node.attrs.get("activation")


def fuse_epilogues(graph: Graph) -> Graph:
    """product * number, add(product, bias), add(product, residual) and activation(product), where nobody else reads the product. Bias and activation
    alone keep the order of arithmetic and so the bits (gelu, silu and sigmoid have formulas of their own there: equal within the bound); a scale and a
    residual come before the bias, and into every block of k: equal within the bound. A reshape between product and user (Linear of more dims than two)
    is no obstacle: a transformer's residuals and activations cost no pass of their own."""
    alone = only_user(graph)

    def product_of(old: Value | None, new: Value | None, user: Node) -> Node | None:
        if old is None or new is None or alone.get(old) is not user:
            return None
        if new.node.op == "reshape" and new.node.inputs[0] is not None:     # Linear's, of more dims than two; or of what was rebuilt here
            before = new.node.inputs[0]
            inner = product_of(old.node.inputs[0], before, old.node) if old.node.op == "reshape" else before.node
            same = inner is not None and inner.outputs[0].shape[-1:] == old.spec.shape[-1:]
            return inner if inner is not None and same and _open(inner) and inner.op != "conv2d" else None
        return new.node if _open(new.node) else None

    def rebuilt(product: Node, result: Spec, inputs: Sequence[Value | None], **attrs: Any) -> Sequence[Value]:
        return [reshaped(Value(Node(product.op, inputs, {**product.attrs, **attrs}, product.outputs, product.label)), result.shape)]

    def has(product: Node, operand: int) -> bool:
        return len(product.inputs) > operand and product.inputs[operand] is not None

    def with_bias(product: Node, bias: Value, result: Spec) -> Sequence[Value] | None:
        out = product.outputs[0].shape
        wanted = (out[1], 1, 1) if product.op == "conv2d" else (out[-1],)
        at = BIAS[product.op]
        if has(product, at) or bias.spec.shape not in (wanted, (1, *wanted)):
            return None
        if product.op == "conv2d" or bias.spec.shape != wanted:
            bias = Value(Node("reshape", (bias,), {"shape": (wanted[0],)}, (Spec((wanted[0],), DType.float32),)))
        return rebuilt(product, result, (*product.inputs[:at], bias, *product.inputs[at + 1 :]))

    def added(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        for i in (0, 1):
            product, new, other = product_of(node.inputs[i], inputs[i], node), inputs[i], inputs[1 - i]
            if product is None or new is None or other is None or other.spec.dtype != DType.float32 or other.node is product or node.outputs[0] != new.spec:
                continue
            if found := with_bias(product, other, node.outputs[0]):
                return found
            if product.op in PRODUCTS and other.spec == node.outputs[0] and not has(product, 3):
                bias = product.inputs[2] if has(product, 2) else None
                return rebuilt(product, node.outputs[0], (*product.inputs[:2], bias, reshaped(other, product.outputs[0].shape)))
        return None

    def scaled(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        for i in (0, 1) if node.op == "mul" else (0,):
            product, number = product_of(node.inputs[i], inputs[i], node), literal(inputs[1 - i])
            if product is None or product.op != "matmul" or has(product, 2) or has(product, 3) or number is None or (node.op == "div" and not number):
                continue
            return rebuilt(product, node.outputs[0], product.inputs, scale=product.attrs.get("scale", 1.0) * (number if node.op == "mul" else 1 / number))
        return None

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op == "add":
            return added(node, inputs)
        if node.op in ("mul", "div"):
            return scaled(node, inputs)
        if node.op in ACTIVATIONS and (product := product_of(node.inputs[0], inputs[0], node)):
            return rebuilt(product, node.outputs[0], product.inputs, activation=ACTIVATIONS.index(node.op))
        return None

    return rewrite(graph, change)


def split_residuals(graph: Graph) -> Graph:
    """Takes residuals out of products again: integer products have none."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op not in PRODUCTS or len(inputs) < 4 or inputs[3] is None:
            return None
        how = node.attrs.get("activation", 0)
        operands = inputs[:3] if inputs[2] is not None else inputs[:2]
        product = Node(node.op, operands, {k: v for k, v in node.attrs.items() if k != "activation"}, node.outputs, node.label)
        total = Node("add", (Value(product), inputs[3]), {}, node.outputs, node.label)
        return [Value(Node(ACTIVATIONS[how], (Value(total),), {}, node.outputs, node.label) if how else total)]

    return rewrite(graph, change)


class _Builder:
    """Collects the instructions of one program."""

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.code: list[tuple[str, tuple[Any, ...]]] = []  # operands: ("in", i) or ("op", j)

    def operand(self, v: Value) -> tuple[str, int]:
        if v.node.op == "constant" and v.spec.shape == () and v.spec.dtype == DType.float32:
            return self.emit("const", (int(v.node.data.numpy().view(np.int32)),))
        if v not in self.inputs:
            self.inputs.append(v)
        return "in", self.inputs.index(v)

    def emit(self, opcode: str, operands: tuple[Any, ...]) -> tuple[str, int]:
        if (opcode, operands) not in self.code:
            self.code.append((opcode, operands))
        return "op", self.code.index((opcode, operands))

    def append(self, program: Program, inputs: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """The instructions of `program` on operands that are already here; its outputs."""
        values = list(inputs)
        for opcode, *operands in program.code:
            values.append(self.emit(opcode, (operands[0],) if opcode == "const" else tuple(values[i] for i in operands[: OPCODES[opcode][1]])))
        return [values[i] for i in program.outputs]

    def encode(self, outputs: Sequence[tuple[str, int]]) -> tuple[int, ...]:
        def number(v: Any) -> int:
            return v if isinstance(v, int) else v[1] if v[0] == "in" else len(self.inputs) + v[1]

        flat = [len(outputs), *(number(v) for v in outputs)]
        for opcode, operands in self.code:
            flat += [OPCODES[opcode][0], *([number(v) for v in operands] + [0, 0, 0])[:3]]
        return tuple(flat)


def fuse_pointwise(graph: Graph) -> Graph:
    """A pointwise op takes in the pointwise ops whose only reader it is, where the shapes agree; literals become constants of the program."""
    alone = only_user(graph)
    inlined: dict[int, Node] = {}  # id(node) -> the reader that takes it in
    for node in graph.nodes():
        if not is_elementwise(node):
            continue
        for v in node.inputs:
            if alone.get(v) is node and is_elementwise(v.node) and len(v.node.outputs) == 1 and v.spec.shape == node.outputs[0].shape:
                inlined[id(v.node)] = node
    new_inputs: dict[int, list[Value | None]] = {}
    old_nodes = {id(n): n for n in graph.nodes()}

    def gather(builder: _Builder, node: Node, inputs: list[Value | None]) -> list[tuple[str, int]]:
        operands = []
        for old, new in zip(node.inputs, inputs):
            source = old.node
            if inlined.get(id(source)) is node:
                operands.append(gather(builder, source, new_inputs[id(source)])[old.index])
            else:
                assert new is not None
                operands.append(builder.operand(new))
        return builder.append(OPS[node.op].build_program(len(operands), node.attrs), operands)

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if not is_elementwise(node) or id(node) not in old_nodes:
            return None
        new_inputs[id(node)] = inputs
        builder = _Builder()
        outputs = gather(builder, node, inputs)
        if not builder.inputs or len(builder.code) > MAX_INSTRUCTIONS or len(builder.inputs) > MAX_INPUTS:
            for k in [k for k, reader in inlined.items() if reader is node]:
                del inlined[k]  # too long: its operands stay programs of their own
            builder = _Builder()
            outputs = gather(builder, node, inputs)
            if not builder.inputs:
                return None
        attrs = {"program": builder.encode(outputs), "shape": node.outputs[0].shape, "dtypes": tuple(int(s.dtype) for s in node.outputs)}
        fused = Node("pointwise", builder.inputs, attrs, node.outputs, node.label or node.op)
        return [Value(fused, i) for i in range(len(node.outputs))]

    return rewrite(graph, change)
