"""From eager Python to the driver: a CUDA row is chosen where Triton is not, its image loaded once, its scratch and arguments passed on. The driver is
tests/cuda's, which only checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.registry import OPS
from accelnn.core.remote import Remote, device_named
from accelnn.core.remote_call import DeviceCall, TableRow, attributes, rows_of

from ..cuda.fake import Fake, forked
from .device import Host

needs_images = pytest.mark.skipif(not _C.cuda_images, reason="built without nvcc: ACCELNN_CUDA=1 make build")


def row(name: str) -> TableRow:
    return next(r for r in rows_of(name) if not r.where)


def chip() -> Fake:
    """One that every build has machine code for: the fake compiles no PTX."""
    fake = Fake()
    fake.set(arch=80)
    return fake


def asked(device: Any, name: str, shape: tuple[int, ...]) -> DeviceCall:
    x = Remote.of(device, np.zeros(shape, np.float32), an.float32)
    return DeviceCall(device, [x], [Remote.empty(device, shape, an.float32)], attributes(OPS[name], {}, 1))


@needs_images
@forked
def test_launches_reach_the_driver() -> None:
    fake = chip()
    device = device_named("cuda")
    call = asked(device, "softmax", (3, 40000))
    assert row("softmax").why_not(call) is None
    row("softmax").row.run(call)
    row("softmax").row.run(asked(device, "softmax", (5, 100)))
    said = [line.split(" args ")[0] for line in fake.log() if line.startswith("launch")]
    assert said == ["launch softmax_pieces_of_rows grid 3,2,1 block 1024,1,1 shared 0", "launch softmax_joined grid 3,2,1 block 1024,1,1 shared 0",
                    "launch softmax_warp_4 grid 2,1,1 block 128,1,1 shared 0"]  # fmt: skip
    assert fake.calls("cuModuleLoadDataEx") == 1


@needs_images
@forked
def test_an_op_takes_the_cuda_row_where_triton_is_not() -> None:
    import accelnn.core.remote_call as remote_call

    remote_call.triton_is_here = lambda: False  # type: ignore[assignment]
    fake = chip()
    x = an.tensor(np.ones((10, 10), np.float32), device="cuda")
    an.nn.functional.softmax(x, dim=1)
    assert [line.split()[1] for line in fake.log() if line.startswith("launch")][-1:] == ["softmax_warp_4"]
    with pytest.raises(an.Error, match="triton is not installed"):
        x @ x


def test_a_device_without_images_is_refused() -> None:
    class Other(Host):
        launch_image = property()  # type: ignore[assignment]

    assert "Triton's rows alone" in str(row("softmax").why_not(asked(Other(), "softmax", (2, 3))))


def test_what_the_extension_refuses() -> None:
    call = asked(Host(), "softmax", (2, 3))
    number, attrs = row("softmax").number, _C.Attrs(row("softmax").number, {})
    window = (call.inputs[0].address, (2, 3), (3, 1), 0)
    with pytest.raises(an.Error, match="no CUDA row softmax_f32_base"):
        _C.device_launches(number, "softmax_f32_base", (window,), attrs, (window,), 80, 4, 1 << 15)
    with pytest.raises(an.Error, match="no op with number 9999"):
        _C.device_launches(9999, "softmax_f32_cuda", (window,), attrs, (window,), 80, 4, 1 << 15)
    with pytest.raises(an.Error, match="too many operands"):
        _C.device_launches(number, "softmax_f32_cuda", (window,) * 3, attrs, (window,), 80, 4, 1 << 15)
    with pytest.raises(an.Error, match="strides"):
        _C.device_launches(number, "softmax_f32_cuda", ((0, (2, 3), (1,), 0),), attrs, (window,), 80, 4, 1 << 15)
    with pytest.raises(an.Error, match=r"softmax/other: not compiled into this library.*accelnn doctor"):
        _C.cuda_image("softmax/other")


def test_a_grid_that_is_too_large_is_refused() -> None:
    call = asked(Host(), "softmax", (1, 1))
    call.inputs[0].shape, call.inputs[0].stride = (1 << 33, 64), (64, 1)
    assert row("softmax").why_not(call) == "more rows than a grid has blocks"
