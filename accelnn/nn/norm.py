"""Normalization layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.dtypes import DType
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, full, no_grad, tensor
from ..ops import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from .module import Module, Parameter


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, which are `normalized_shape`."""

    def __init__(self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(np.ones(self.normalized_shape, np.float32)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, np.float32)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions, which are `normalized_shape`; eps None: that of float32."""

    def __init__(self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(np.ones(self.normalized_shape, np.float32)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """x[N, C, ...]: mean and variance over the C / num_groups channels of a group and all their places."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, bias: bool = True) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise AttributeValueError(f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = Parameter(np.ones(num_channels, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_channels, np.float32)) if affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class _ChannelNorm(Module):
    """Parameters and running statistics of batch and instance norm."""

    ranks: tuple[int, ...] = ()

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool, bias: bool) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum, self.affine, self.track_running_stats = num_features, eps, momentum, affine, track_running_stats
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine and bias else None
        self.running_mean = full((num_features,), 0.0) if track_running_stats else None
        self.running_var = full((num_features,), 1.0) if track_running_stats else None
        self.num_batches_tracked = tensor(0) if track_running_stats else None

    def check(self, x: Tensor) -> None:
        if x.ndim not in self.ranks:
            raise ShapeError(f"{type(self).__name__}: {' or '.join(map(str, self.ranks))} dimensions expected, not {x.spec}")

    def share(self) -> float | Tensor:
        """How far the running statistics go towards this batch's; counts the batch."""
        if self.num_batches_tracked is None:
            return 0.0
        with no_grad():
            seen = self.num_batches_tracked.to(DType.float32) + 1.0
            self.num_batches_tracked.assign(seen.to(DType.int64))
            return 1.0 / seen if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")  # fmt: skip


class _BatchNorm(_ChannelNorm):
    """x[N, C, ...] normalized by the mean and variance of each channel over the batch; not training: by their running averages. momentum None: the plain
    average of all batches."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        training = self.training or self.running_mean is None
        share = self.share() if self.training else 0.0
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training, share, self.eps)


class BatchNorm1d(_BatchNorm):
    __doc__ = f"x[N, C] or x[N, C, L]. {_BatchNorm.__doc__}"
    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"x[N, C, H, W]. {_BatchNorm.__doc__}"
    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"x[N, C, D, H, W]. {_BatchNorm.__doc__}"
    ranks = (5,)


class _InstanceNorm(_ChannelNorm):
    """Each channel of each sample by its own mean and variance; with running statistics, and not training, by those. A sample may come without N."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False, track_running_stats: bool = False,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        single = x.ndim == self.ranks[0]
        y = x.unsqueeze(0) if single else x
        if self.affine and y.shape[1] != self.num_features:
            raise ShapeError(f"{type(self).__name__}: {self.num_features} channels expected, not {x.spec}")
        own = self.training or self.running_mean is None
        # As torch: instance norm does not count its batches.
        y = instance_norm(y, self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum, self.eps)
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    __doc__ = f"x[N, C, L] or x[C, L]. {_InstanceNorm.__doc__}"
    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = f"x[N, C, H, W] or x[C, H, W]. {_InstanceNorm.__doc__}"
    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = f"x[N, C, D, H, W] or x[C, D, H, W]. {_InstanceNorm.__doc__}"
    ranks = (4, 5)


class LocalResponseNorm(Module):
    """x[N, C, ...] divided by (k + alpha * mean of x^2 over `size` neighbouring channels)^beta."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm",
           "LocalResponseNorm", "RMSNorm"]  # fmt: skip
