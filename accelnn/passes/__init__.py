"""Graph -> Graph, each a pure function of a page; and Graph -> Plan. `STANDARD` is what compile and build apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.graph import Graph
from .affine import fold_numbers
from .flow import everywhere
from .fold import fold, fold_batch_norm
from .fuse import fuse_epilogues, fuse_pointwise
from .idioms import recognize
from .integers import float_results
from .layout import as_eager, layout
from .live_norm import fold_live_batch_norm
from .movement import straighten
from .pack import Hoisted, hoist, pack
from .qconv import pack_convolutions
from .qdq import chain_bytes, integer_kernels, tables
from .recurrence import recognize_recurrence
from .simplify import common_subexpressions, simplify
from .sparse import sparsify_convolutions

Pass = Callable[[Graph], Graph]
TIDY: tuple[Pass, ...] = (integer_kernels, fold, straighten, simplify, common_subexpressions, recognize, recognize_recurrence, float_results)
FUSE: tuple[Pass, ...] = (fold_batch_norm, fold_live_batch_norm, fold, fold_numbers, fuse_epilogues)
LAST: tuple[Pass, ...] = (layout, straighten, common_subexpressions)  # doors to channels last, where chains begin and end, and of which two may be alike
STANDARD: tuple[Pass, ...] = (*TIDY, *FUSE, *LAST, chain_bytes, fuse_pointwise, tables)
DEPLOY: tuple[Pass, ...] = (*TIDY, *FUSE, sparsify_convolutions, *LAST, chain_bytes, fuse_pointwise, tables, pack, fold, pack_convolutions)


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    for each in passes:
        graph = everywhere(each, graph)
    return graph


__all__ = ["DEPLOY", "STANDARD", "Hoisted", "Pass", "as_eager", "chain_bytes", "common_subexpressions", "everywhere", "float_results", "fold",
           "fold_batch_norm", "fold_live_batch_norm", "fold_numbers", "fuse_epilogues", "fuse_pointwise", "hoist", "integer_kernels", "layout", "pack",
           "pack_convolutions", "recognize", "recognize_recurrence", "run_passes", "simplify", "sparsify_convolutions", "straighten", "tables"]  # fmt: skip
