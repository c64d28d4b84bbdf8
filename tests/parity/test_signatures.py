"""Every layer, loss, initializer, optimizer and function beside torch's of the same name: the same parameters, in the same order, with the same defaults; what
differs stands here, and nothing that does not."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import accelnn as an
import accelnn.nn.functional as functional

from ..conftest import need_module

# Where a tensor lives, which generator draws, how torch's loops are written, what torch has given up: no part of what is computed.
NOT_OURS = {"device", "dtype", "generator", "size_average", "reduce", "foreach", "fused", "capturable", "differentiable"}
ABSENT = {
    "Container", "CrossMapLRN2d", "NLLLoss2d",  # given up by torch: Module, LocalResponseNorm, NLLLoss
    "DataParallel", "SyncBatchNorm",  # more than one process
    "LinearCrossEntropyLoss",  # Linear and CrossEntropyLoss in one Plan
}  # fmt: skip
LAYERS_DIFFER = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), "exact=False is ours, by name only: no Winograd"),
    "Hardtanh": "min_value and max_value are given up by torch",
    "RNNBase": "ours knows its kind by its class",
    "RNNCellBase": "ours knows its kind by its class",
}
# torch's functions that take whatever comes: (*args, **kwargs)
OPEN = {"GRU", "LSTM", "RNN", "LogSigmoid", "Module", "Sigmoid", "Softmax2d", "Softsign", "Tanh", "Tanhshrink"}
# Functions of torch.nn.functional that torch gives no signature, or that write in place, or are other names of ours.
FUNCTIONS_ABSENT = {
    "affine_grid", "grid_sample", "pdist", "conv_tbc",  # not built
    "grouped_mm", "scaled_mm", "scaled_grouped_mm", "linear_cross_entropy", "multi_head_attention_forward",  # the inside of layers
    "upsample", "upsample_bilinear", "upsample_nearest",  # given up by torch: interpolate
    "native_channel_shuffle", "assert_int_or_pair", "boolean_dispatch", "Optional", "handle_torch_function", "has_torch_function",
    "has_torch_function_unary", "has_torch_function_variadic",
}  # fmt: skip
FUNCTIONS_DIFFER = {
    "softmax": "dim is the last one, not a guess; mask is ours", "log_softmax": "dim is the last one, not a guess; mask is ours",
    "softmin": "dim is the last one, not a guess", "normalize": "out is where torch writes",
    "huber_loss": "weight is only in torch's function", "mse_loss": "weight is only in torch's function", "l1_loss": "weight is only in torch's function",
    "dropout": "mask is ours", "alpha_dropout": "mask is ours",
}  # fmt: skip


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


def parameters(f: Any) -> list[tuple[str, Any]]:
    return [(p.name, "required" if p.default is p.empty else p.default) for p in inspect.signature(f).parameters.values() if p.name not in NOT_OURS]


def same(ours: Any, theirs: Any) -> bool:
    """Names, order and defaults; functions as defaults by their names (activation=F.relu is "relu")."""
    return [(n, getattr(d, "__name__", d)) for n, d in parameters(ours)] == [(n, getattr(d, "__name__", d)) for n, d in parameters(theirs)]


def test_every_layer_is_there(torch: Any) -> None:
    theirs = {n for n in dir(torch.nn) if inspect.isclass(getattr(torch.nn, n)) and issubclass(getattr(torch.nn, n), torch.nn.Module)}
    assert theirs - set(an.nn.__all__) == ABSENT
    assert {n for n in theirs - ABSENT if not same(getattr(an.nn, n), getattr(torch.nn, n))} == set(LAYERS_DIFFER) | OPEN


def test_recurrent_layers_take_what_torch_documents() -> None:
    common = [("input_size", "required"), ("hidden_size", "required"), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0),
              ("bidirectional", False)]  # fmt: skip
    assert parameters(an.nn.GRU) == common and parameters(an.nn.LSTM) == [*common, ("proj_size", 0)]
    assert parameters(an.nn.RNN) == [*common[:3], ("nonlinearity", "tanh"), *common[3:]]


def test_calls_take_torchs_arguments(torch: Any) -> None:
    """forward: the first tensor is x or input, the rest has torch's names and defaults."""
    for name in set(an.nn.__all__) & set(dir(torch.nn)) - OPEN - ABSENT:
        ours, theirs = (getattr(getattr(nn, name), "forward", None) for nn in (an.nn, torch.nn))
        if ours is None or "_forward_unimplemented" in theirs.__name__ or name.startswith("Lazy"):
            continue
        mine, want = parameters(ours)[2:], parameters(theirs)[2:]
        assert mine[: len(want)] == want or name == "AdaptiveLogSoftmaxWithLoss", f"{name}.forward: {mine}, torch's {want}"


def test_initializers(torch: Any) -> None:
    theirs = {n for n, f in vars(torch.nn.init).items() if inspect.isfunction(f) and n.endswith("_") and not n.startswith("_")} | {"calculate_gain"}
    for name in theirs:
        assert same(getattr(an.nn.init, name), getattr(torch.nn.init, name)), name


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_optimizers(torch: Any, name: str) -> None:
    theirs = [p for p in parameters(getattr(torch.optim, name)) if p[0] != "decoupled_weight_decay"]  # AdamW is that
    assert parameters(getattr(an.optim, name)) == theirs


def test_functions(torch: Any) -> None:
    there = {n for n, f in vars(torch.nn.functional).items() if callable(f) and not inspect.isclass(f) and not n.startswith("_") and n[-1] != "_"
             and not n.endswith("_with_indices")}  # fmt: skip
    assert {n for n in there if not hasattr(functional, n)} == FUNCTIONS_ABSENT
    differ = set()
    for name in there - FUNCTIONS_ABSENT:
        try:
            theirs = [p for p in parameters(getattr(torch.nn.functional, name)) if p[0] not in ("inplace", "_stacklevel")]
        except ValueError:  # a builtin
            continue
        ours = [p for p in parameters(getattr(functional, name)) if p[0] not in ("inplace", "_stacklevel")]
        if [n for n, _ in theirs] != ["args", "kwargs"] and ours[1:] != theirs[1:]:  # the first tensor is x or input
            differ.add(name)
    assert differ == set(FUNCTIONS_DIFFER)
