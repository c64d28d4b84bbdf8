"""What type checkers see of Tensor is what accelnn.ops attaches to it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path

import accelnn as an
from accelnn.core import methods
from accelnn.ops.methods import METHODS, OPERATORS


def declared() -> dict[str, str]:
    """The declarations of core/methods.py, without self."""
    found = {}
    for node in ast.walk(ast.parse(Path(methods.__file__).read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.args.args[0].arg == "self"
            defaults = ast.unparse(node.args).partition("self")[2].removeprefix(", ")
            found[node.name] = f"{defaults} -> {ast.unparse(node.returns)}" if node.returns else defaults
    return found


def attached(name: str) -> str:
    """The same of the function, whose first argument is the tensor."""
    source = ast.parse(textwrap.dedent(inspect.getsource(METHODS[name]))).body[0]
    if not isinstance(source, ast.FunctionDef) or source.name == "call":  # functions._unary makes them
        return " -> Tensor"
    source.args.args.pop(0)
    return f"{ast.unparse(source.args)} -> {ast.unparse(source.returns) if source.returns else None}"


def test_methods_are_declared() -> None:
    seen = declared()
    assert [name for name in seen if name in OPERATORS] == list(OPERATORS), "the operators first"
    seen = {name: text for name, text in seen.items() if name not in OPERATORS}
    assert list(seen) == sorted(METHODS), "core/methods.py lists them in alphabetical order"
    for name in METHODS:
        assert seen[name].strip().removeprefix("-> ") == attached(name).strip().removeprefix("-> "), name
        assert getattr(an.Tensor, name) is METHODS[name]
