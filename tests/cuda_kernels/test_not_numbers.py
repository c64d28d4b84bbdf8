"""NaN and infinity among the elements, as the contracts of the ops say, however a row is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn.core.graph import Spec
from accelnn.core.registry import OPS
from accelnn.core.remote import Remote
from accelnn.core.remote_call import DeviceCall, attributes, kernel_of, rows_of

from ..gpu_kernels.test_rows import on
from .device import Emulated, Fibers, Host
from .long_rows import drawn
from .test_rows import EMULATED


def on_device(device: Host, name: str, *arrays: np.ndarray, **attrs: Any) -> list[np.ndarray]:
    """Results of the op's CUDA row."""
    op = OPS[name]
    views = [on(device, a) for a in arrays]
    made = [Remote.empty(device, s.shape, s.dtype) for s in op.specs([Spec(v.shape, v.dtype) for v in views], attrs)]
    row = next(r for r in rows_of(kernel_of(op)) if not r.where)
    row.row.run(DeviceCall(device, views, made, attributes(op, attrs, len(views))))
    return [m.numpy() for m in made]


DEVICES = [Fibers, pytest.param(Emulated, marks=pytest.mark.skipif(not EMULATED, reason="nvcc is not there"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n", [7, 700, 3001, 40000])
@pytest.mark.parametrize("log", [0, 1])
def test_softmax(log: int, n: int, device: type[Host]) -> None:
    x = drawn(4, (5, n))[0]
    x[0, 3], x[1, 5], x[2], x[3, ::2] = np.nan, np.inf, -np.inf, -np.inf
    (y,) = on_device(device(), "log_softmax" if log else "softmax", x)
    assert np.isnan(y[:3]).all()
    assert (y[3, ::2] == (-np.inf if log else 0)).all() and np.isfinite(y[3, 1::2]).all() and np.isfinite(y[4]).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("log", [0, 1])
def test_softmax_along_another_axis(log: int, device: type[Host]) -> None:
    x = drawn(5, (50, 40))[0]
    x[3, 0], x[5, 1], x[:, 2], x[::2, 3] = np.nan, np.inf, -np.inf, -np.inf
    (y,) = on_device(device(), "softmax_axis", x, axis=0, log=log)
    assert np.isnan(y[:, :3]).all()
    assert (y[::2, 3] == (-np.inf if log else 0)).all() and np.isfinite(y[1::2, 3]).all() and np.isfinite(y[:, 4:]).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n", [7, 40000])
def test_gradients_stay_in_their_rows(n: int, device: type[Host]) -> None:
    dy, y = drawn(6, (3, n), (3, n))
    dy[1, 4] = np.nan
    for name in ("softmax_grad", "log_softmax_grad"):
        (dx,) = on_device(device(), name, dy, y)
        assert np.isnan(dx[1]).all() and np.isfinite(dx[::2]).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n", [9, 3001, 20001])
def test_norms(n: int, device: type[Host]) -> None:
    x = drawn(7, (3, n))[0]
    x[0, 2], x[1, 5] = np.nan, np.inf
    for name in ("layer_norm", "rms_norm"):
        y, rstd, *_ = on_device(device(), name, x, dims=1, eps=1e-5)
        assert np.isnan(y[0]).all() and np.isnan(y[1, 5]) and np.isfinite(y[2]).all() and np.isfinite(rstd[2])
