"""What torch.export had to assume about the sizes of named dimensions: whether it holds for all of them."""

from __future__ import annotations

from typing import Any


def hold_always(program: Any) -> bool:
    """Each check that torch left in the program to be made when it runs (prefer_deferred_runtime_asserts_over_guards) is a truth about any sizes from 2 on.
    torch's own prover gives up where a proof takes sympy's Min of two products, as for the layout of stacked keys and values of a growing cache; a check that
    only the example fulfils is another matter: the program then has one branch of the module, and other sizes may need the other."""
    found = [n.args[0].meta["val"] for n in program.graph.nodes if n.op == "call_function" and "_assert_scalar" in str(n.target) and hasattr(n.args[0], "meta")]
    return all(_true(e) for e in dict.fromkeys(v.node.expr for v in found if hasattr(v, "node")))


def _true(expression: Any) -> bool:
    import sympy
    from torch.utils._sympy import functions as theirs

    plain = {theirs.Min: sympy.Min, theirs.Max: sympy.Max, theirs.Mod: sympy.Mod, theirs.PythonMod: sympy.Mod, theirs.FloorDiv: lambda a, b: sympy.floor(a / b)}
    sizes = {s: sympy.Symbol(f"{s.name}_more", integer=True, nonnegative=True) + 2 for s in expression.free_symbols}
    for function, to in plain.items():
        expression = expression.replace(function, to)
    return bool(sympy.simplify(expression.subs(sizes)) == sympy.true)
