"""Graph -> Graph, each a pure function of a page; and Graph -> Plan. `STANDARD` is what compile and build apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.graph import Graph
from .flow import everywhere
from .fold import fold, fold_batch_norm
from .fuse import fuse_epilogues, fuse_pointwise
from .idioms import recognize
from .layout import as_eager, layout
from .live_norm import fold_live_batch_norm
from .movement import straighten
from .pack import Hoisted, hoist, pack
from .qconv import pack_convolutions
from .recurrence import recognize_recurrence
from .simplify import common_subexpressions, simplify
from .sparse import sparsify_convolutions

Pass = Callable[[Graph], Graph]
TIDY: tuple[Pass, ...] = (fold, straighten, simplify, common_subexpressions, recognize, recognize_recurrence)
FUSE: tuple[Pass, ...] = (fold_batch_norm, fold_live_batch_norm, fold, fuse_epilogues)
STANDARD: tuple[Pass, ...] = (*TIDY, *FUSE, layout, fuse_pointwise)
DEPLOY: tuple[Pass, ...] = (*TIDY, *FUSE, sparsify_convolutions, layout, fuse_pointwise, pack, fold, pack_convolutions)


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    for each in passes:
        graph = everywhere(each, graph)
    return graph


__all__ = ["DEPLOY", "STANDARD", "Hoisted", "Pass", "as_eager", "common_subexpressions", "everywhere", "fold", "fold_batch_norm", "fold_live_batch_norm",
           "fuse_epilogues", "fuse_pointwise", "hoist", "layout", "pack", "pack_convolutions", "recognize", "recognize_recurrence", "run_passes", "simplify",
           "sparsify_convolutions", "straighten"]  # fmt: skip
