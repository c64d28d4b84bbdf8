"""Graph -> Graph, each a pure function of a page; and Graph -> Plan. `STANDARD` is what compile and build apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.graph import Graph
from .fold import fold, fold_batch_norm
from .fuse import fuse_epilogues, fuse_pointwise
from .layout import as_eager, layout
from .live_norm import fold_live_batch_norm
from .pack import Hoisted, hoist, pack
from .qconv import pack_convolutions
from .sparse import sparsify_convolutions

Pass = Callable[[Graph], Graph]
STANDARD: tuple[Pass, ...] = (fold, fold_batch_norm, fold_live_batch_norm, fold, fuse_epilogues, layout, fuse_pointwise)
DEPLOY: tuple[Pass, ...] = (fold, fold_batch_norm, fold_live_batch_norm, fold, fuse_epilogues, sparsify_convolutions, layout, fuse_pointwise, pack, fold,
                            pack_convolutions)  # fmt: skip


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    for each in passes:
        graph = each(graph)
    return graph


__all__ = ["DEPLOY", "STANDARD", "Hoisted", "Pass", "as_eager", "fold", "fold_batch_norm", "fold_live_batch_norm", "fuse_epilogues", "fuse_pointwise", "hoist",
           "layout", "pack", "pack_convolutions", "run_passes", "sparsify_convolutions"]  # fmt: skip
