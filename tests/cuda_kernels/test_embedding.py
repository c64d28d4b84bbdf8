"""What GPU code a program carries: none for the CPU, and of many images those alone that it names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.deploy import link, toolchain

from ..conftest import need_program

needs_images = pytest.mark.skipif(not _C.cuda_images, reason="built without nvcc: ACCELNN_CUDA=1 make build")


def test_a_program_for_the_cpu_carries_none(tmp_path: Path) -> None:
    net = an.nn.Sequential(an.nn.Linear(8, 4), an.nn.LayerNorm(4), an.nn.Softmax(1))
    an.build(an.freeze(net, np.ones((2, 8), np.float32)), tmp_path / "net")
    data = (tmp_path / "net").read_bytes()
    assert b"softmax" in data, "the op's own name"
    assert not [word for word in (b"cuda_softmax", b"softmax_warp_4", b"layer_norm_long", b"\x50\xed\x55\xba") if word in data]


@needs_images
def test_a_program_takes_the_images_that_it_names(tmp_path: Path) -> None:
    chain = toolchain.native()
    if chain is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "one.cpp"
    source.write_text("extern \"C\" const unsigned char accelnn_cuda_norm_cuda_norm_begin[], accelnn_cuda_norm_cuda_norm_end[];\n"
                      "int main(int n, char**) { return accelnn_cuda_norm_cuda_norm_end - accelnn_cuda_norm_cuda_norm_begin > n ? 0 : 1; }\n")  # fmt: skip
    out = tmp_path / "one"
    toolchain.run([*chain.cxx, str(source), str(link.LIB / "libaccelnn.a"), "-o", str(out), "-no-pie", "-Wl,--gc-sections", "-lm", "-pthread"])
    assert subprocess.run([out]).returncode == 0
    data = out.read_bytes()
    assert _C.cuda_image("norm/cuda_norm") in data and _C.cuda_image("softmax/cuda_softmax") not in data
    names = subprocess.run([need_program("nm"), str(out)], capture_output=True, text=True, check=True).stdout
    assert "accelnn_cuda_norm_cuda_norm_begin" in names and "accelnn_cuda_softmax" not in names
