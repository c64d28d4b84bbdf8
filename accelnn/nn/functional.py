"""torch.nn.functional's names: `import accelnn.nn.functional as F`. What has no parameters of its own is an op, or a layer that lives for one call: its
inputs, then its settings, by position or by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..ops import (  # noqa: F401
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    alpha_dropout,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    batch_norm,
    bilinear,
    celu,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_similarity,
    cross_entropy,
    ctc_loss,
    dropout,
    elu,
    fractional_max_pool2d,
    fractional_max_pool3d,
    gelu,
    glu,
    group_norm,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    instance_norm,
    interpolate,
    layer_norm,
    leaky_relu,
    linear,
    local_response_norm,
    log_softmax,
    logsigmoid,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    mish,
    nll_loss,
    one_hot,
    pad,
    pairwise_distance,
    prelu,
    relu,
    relu6,
    rms_norm,
    rrelu,
    scaled_dot_product_attention,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)
from ..ops.distance import normalize  # noqa: F401
from . import dropout as dropouts, loss, margin, reshape
from .module import Module
from .sparse import embedding, embedding_bag  # noqa: F401


def _of(layer: type[Module]) -> Callable[..., Any]:
    """A layer without its instance: the parameters of forward, then those of the constructor."""
    inputs = list(inspect.signature(layer.forward).parameters.values())[1:]
    settings = inspect.signature(layer).parameters
    signature = inspect.Signature([*inputs, *settings.values()])

    def call(*args: Any, **named: Any) -> Any:
        given = signature.bind(*args, **named).arguments
        return layer(**{k: v for k, v in given.items() if k in settings})(*(given[p.name] for p in inputs))

    call.__doc__, call.__signature__ = layer.__doc__, signature  # type: ignore[attr-defined]
    return call


def _dropping(layer: type[Module], usual: bool) -> Callable[..., Tensor]:
    def call(x: Tensor, p: float = 0.5, training: bool = usual, inplace: bool = False) -> Tensor:
        return layer(p, inplace).train(training)(x)  # type: ignore[call-arg, no-any-return]

    call.__doc__ = layer.__doc__
    return call


binary_cross_entropy = _of(loss.BCELoss)
binary_cross_entropy_with_logits = _of(loss.BCEWithLogitsLoss)
channel_shuffle = _of(reshape.ChannelShuffle)
cosine_embedding_loss = _of(margin.CosineEmbeddingLoss)
dropout1d = _dropping(dropouts.Dropout1d, True)
dropout2d = _dropping(dropouts.Dropout2d, True)
dropout3d = _dropping(dropouts.Dropout3d, True)
feature_alpha_dropout = _dropping(dropouts.FeatureAlphaDropout, False)
fold = _of(reshape.Fold)
gaussian_nll_loss = _of(loss.GaussianNLLLoss)
hinge_embedding_loss = _of(margin.HingeEmbeddingLoss)
huber_loss = _of(loss.HuberLoss)
kl_div = _of(loss.KLDivLoss)
l1_loss = _of(loss.L1Loss)
margin_ranking_loss = _of(margin.MarginRankingLoss)
mse_loss = _of(loss.MSELoss)
multi_margin_loss = _of(margin.MultiMarginLoss)
multilabel_margin_loss = _of(margin.MultiLabelMarginLoss)
multilabel_soft_margin_loss = _of(margin.MultiLabelSoftMarginLoss)
pixel_shuffle = _of(reshape.PixelShuffle)
pixel_unshuffle = _of(reshape.PixelUnshuffle)
poisson_nll_loss = _of(loss.PoissonNLLLoss)
smooth_l1_loss = _of(loss.SmoothL1Loss)
soft_margin_loss = _of(margin.SoftMarginLoss)
triplet_margin_loss = _of(margin.TripletMarginLoss)
triplet_margin_with_distance_loss = _of(margin.TripletMarginWithDistanceLoss)
unfold = _of(reshape.Unfold)


def softmin(x: Tensor, dim: int = -1) -> Tensor:
    """softmax(-x)."""
    return softmax(-x, dim)
