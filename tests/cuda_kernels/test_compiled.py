"""What nvcc makes of the CUDA kernels for every architecture of a release: registers, spills, shared memory, machine code that is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accelnn import _C
from accelnn.core.cuda_rows import cuda_rows
from accelnn.deploy import toolchain

from .expectations import ROOT, compiled, complaints, table_of

IMAGES = toolchain.cuda_sources(ROOT)
needs_nvcc = pytest.mark.skipif(toolchain.find_nvcc() is None, reason="nvcc is not there: pip install nvidia-cuda-nvcc==13.0.*")


@needs_nvcc
@pytest.mark.parametrize("arch", toolchain.CUDA_ARCHS)
@pytest.mark.parametrize("image", IMAGES)
def test_entries_are_what_their_table_says(image: str, arch: str) -> None:
    table, found = json.loads(table_of(image).read_text()), compiled(IMAGES[image], arch)
    assert found and not found.keys() - table.keys(), "entries without a line: python -m tests.cuda_kernels.expectations"
    wrong = {entry: said for entry, got in found.items() if (said := complaints(table[entry][arch], got))}
    assert not wrong


@needs_nvcc
def test_a_body_for_other_chips_alone_is_noticed(tmp_path: Path) -> None:
    """It compiles without an error, and does nothing."""
    image = "softmax/cuda_softmax"
    text = IMAGES[image].read_text().replace("softmax_row(const float* x, float* y, int n, int thread, float* room) {", """\\g
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)""".replace("\\g", "softmax_row(const float* x, float* y, int n, int thread, float* room) {"))
    head, tail = text.split("#if defined(__CUDA_ARCH_FEAT_SM90_ALL)")
    changed = tmp_path / "cuda_softmax.cu"
    changed.write_text(head + "#if defined(__CUDA_ARCH_FEAT_SM90_ALL)" + tail.replace("\n}\n", "\n#endif\n}\n", 1))
    table = json.loads(table_of(image).read_text())
    assert "bytes of code" in complaints(table["softmax_warp_4"]["80"], compiled(changed, "80")["softmax_warp_4"])[0]
    assert not complaints(table["softmax_warp_4"]["90a"], compiled(changed, "90a")["softmax_warp_4"])


def test_every_image_is_built_or_none() -> None:
    """A library that was built with nvcc has the kernels of every source, by the names that the rows use."""
    assert set(_C.cuda_images) in (set(), set(IMAGES))
    assert cuda_rows()
    assert sum(_C.cuda_images.values()) <= 12 << 20


def test_tables_name_no_entry_that_is_gone() -> None:
    for image in IMAGES:
        text = "".join(p.read_text() for p in table_of(image).parent.glob("cuda_*"))
        for entry in json.loads(table_of(image).read_text()):
            stem = entry.removeprefix("log_")
            assert stem in text or stem.rsplit("_block_", 1)[0] in text, entry
