"""Layers with torch's constructors, parameters and state_dicts."""

from __future__ import annotations

from typing import Any

import torch

from .._C import routed
from .library import linear

_traced = torch.compiler.is_dynamo_compiling


class Linear(torch.nn.Linear):
    """torch.nn.Linear over accelnn's kernels: everything but forward() is torch's.

    A subclass, because the ecosystem asks isinstance(m, nn.Linear): LoRA and other adapters, sharding plans, weight initialisers and parameter counters
    would walk past a class of our own. The layer holds nothing beside its parameters: copies, pickles and state_dicts are those of nn.Linear."""

    pack = True  # False: no packed copy of the weight (it doubles the memory of a layer that only infers)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        held: dict[str, Any] = self._parameters
        weight: Any
        bias: Any
        try:  # self.weight goes through Module.__getattr__: 0.5 us
            weight, bias = held["weight"], held["bias"]
        except KeyError:  # parametrized, pruned or normalised: computed, or kept under another name
            weight, bias = self.weight, self.bias
        if not _traced():  # linear() asks again; here it saves a Python function, 0.1 us
            y = routed(input, weight, bias, self.pack)
            if y is not None:
                return y
        return linear(input, weight, bias, self.pack)

    def __prepare_scriptable__(self) -> torch.nn.Linear:
        """What torch.jit.script compiles: scripted modules run without Python, so without us."""
        plain = torch.nn.Linear.__new__(torch.nn.Linear)
        plain.__dict__.update(self.__dict__)
        return plain


class AcceleratedLinear(Linear):
    """What accelerate() makes of an nn.Linear, and restore() undoes: a class of its own, so that nothing has to be remembered about the instance, not
    even in a copy or after pickling."""
