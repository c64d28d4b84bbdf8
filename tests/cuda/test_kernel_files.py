"""Compiled kernels out of a file: what is written is read again, what is damaged is refused, and calls on a device run by them without Triton."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import accelnn as an
from accelnn.core import kernel_files, remote, remote_call, row_modules
from accelnn.core.errors import DeviceError, FormatError, KernelError
from accelnn.core.kernel_file import DIGITS, SEAL, Entry, KernelFile, sealed, write
from accelnn.core.kernel_files import name_of, source_of
from accelnn.core.recording import Question, launches_of, questions_of

from .cubin import IMAGE
from .fake import Fake, apart, library
from .kernel_files import launches, made_file

SOFTMAX = Question("softmax", (("float32", (64, 1000)),), {})
RELU = Question("relu", (("float32", (4, 1000)),), {})
DIGEST = hashlib.sha256(IMAGE).hexdigest()
SCALE = Entry("made.by:hand", "0" * 64, "[1]", "sm_90", DIGEST, "scale", 4, 48, 16, (("x", "*fp32"), ("n", "i32"), ("y", "*fp32"), ("a", "fp32")))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("kernels") / "k.zip"
    write(path, [SCALE, Entry(**{**vars(SCALE), "target": "sm_80"})], {DIGEST: IMAGE}, {"triton": "3.6.0"})
    return path.read_bytes()


def opened(content: bytes) -> list[bytes]:
    """Everything that a file holds, read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "k.zip")
        path.write_bytes(content)
        file = KernelFile(path)
        return [file.image(e) for e in file.entries]


def test_what_is_written_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "k.zip").write_bytes(content)
    file = KernelFile(tmp_path / "k.zip")
    assert file.entries == (Entry(**{**vars(SCALE), "target": "sm_80"}), SCALE) and file.made_by["triton"] == "3.6.0"
    assert [file.image(e) for e in file.entries] == [IMAGE, IMAGE]
    assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == 2, "an image of two entries is kept once"
    write(tmp_path / "again.zip", reversed(file.entries), {DIGEST: IMAGE}, {"triton": "3.6.0"})
    assert (tmp_path / "again.zip").read_bytes() == content


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_flipped_bit_and_any_cut_is_refused(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    for damaged in (content[:at], content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]):
        with pytest.raises(FormatError, match=r"k\.zip: (no file of compiled kernels|its checksum differs)"):
            opened(damaged)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_under_a_true_checksum_is_an_error_of_ours_or_harmless(content: bytes, data: st.DataObject) -> None:
    """Whoever makes files on purpose makes the checksum too."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - DIGITS - len(SEAL) - 1))
        damaged[at : at + data.draw(st.sampled_from((1, 1, 2, 4)))] = data.draw(st.binary(min_size=0, max_size=4))
    try:
        images = opened(sealed(bytes(damaged)))
    except FormatError:
        return
    assert all(image == IMAGE for image in images)


def with_index(content: bytes, change: Callable[[Any], Any]) -> bytes:
    """The file with another index, sealed."""
    old, buffer = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for name in old.namelist():
            text = old.read(name)
            z.writestr(name, json.dumps(change(json.loads(text))) if name == "index.json" else text)
        z.comment = SEAL + b"0" * DIGITS
    return sealed(buffer.getvalue())


@pytest.mark.parametrize(("field", "value"), [
    ("kernel", ""), ("kernel", 3), ("source", "ab"), ("key", None), ("target", "sm_x"), ("image", "0" * 64),
    ("image", "../" * 20), ("entry", "a\0b"), ("warps", 0), ("warps", 4.0), ("warps", 33), ("warps", True), ("shared", -1), ("shared", 1 << 40),
    ("scratch", -8), ("parameters", {}), ("parameters", [["x", "*fp33"]]),
    ("parameters", [["x", "i32", 1]]), ("more", 1),
])  # fmt: skip
def test_every_field_is_checked(content: bytes, field: str, value: Any) -> None:
    def change(index: Any) -> Any:
        index["kernels"][1][field] = value
        return index

    with pytest.raises(FormatError, match=rf"kernel 1 of its index: ({field} is|exactly kernel, source)"):
        opened(with_index(content, change))


@pytest.mark.parametrize(("index", "said"), [
    ([], "not one of compiled kernels"), ({"format": "accelnn kernels", "version": 2}, "version 2: this accelnn reads version 1"),
    ({"format": "accelnn kernels", "version": 1, "made_by": {}}, "lacks made_by or kernels"),
    ({"format": "accelnn kernels", "version": 1, "made_by": {"triton": 3}, "kernels": []}, "lacks made_by or kernels"),
])  # fmt: skip
def test_other_indices_are_refused(content: bytes, index: Any, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        opened(with_index(content, lambda _: index))


def test_an_image_that_is_not_the_one_of_its_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "k.zip", [SCALE], {DIGEST: IMAGE[:-1] + b"?"}, {})
    with pytest.raises(FormatError, match="not the one that its name says"):
        opened((tmp_path / "k.zip").read_bytes())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="nothing.zip: a file of compiled kernels expected: No such file"):
        an.load_kernels(tmp_path / "nothing.zip")


def without_triton() -> None:
    """As where it is not installed; row modules that this process has imported already stay as they are."""
    row_modules.triton_is_here = kernel_files.triton_is_here = remote_call.triton_is_here = lambda: False  # type: ignore[assignment]


def run_softmax(loaded: list[str]) -> list[str]:
    fake = Fake()
    fake.set(arch=90)
    without_triton()
    for path in loaded:
        an.load_kernels(path)
    x = an.tensor(np.ones((64, 1000), np.float32), device="cuda")
    an.softmax(x)
    an.softmax(x)
    return [line for line in fake.log() if line.startswith("launch")]


def fails(question: Question, loaded: list[str]) -> str:
    Fake().set(arch=90)
    without_triton()
    for path in loaded:
        an.load_kernels(path)
    with pytest.raises(KernelError) as caught:
        operands = [an.tensor(np.ones(i[1], np.float32), device="cuda") for i in question.inputs if i is not None]
        getattr(an.ops, question.op)(*operands)
    return str(caught.value)


def test_a_call_runs_by_a_file(tmp_path: Path) -> None:
    """32 programs of 4 warps with the shared memory that the file says; the same where the environment names the file."""
    path = str(tmp_path / "k.zip")
    made_file(Path(path), [SOFTMAX])
    said = apart(run_softmax, [path])
    assert len(said) == 2 and re.match(r"launch _softmax grid 32,1,1 block 128,1,1 shared 4096 args \d+ \d+ 64 1000 0 0$", said[0]), said
    environment = {"ACCELNN_LIBCUDA": library(), "ACCELNN_KERNELS": os.pathsep.join(["", path])}
    assert len(apart(run_softmax, [], env=environment)) == 2


def test_scratch_memory_is_what_the_file_says(tmp_path: Path) -> None:
    made_file(tmp_path / "k.zip", [SOFTMAX], scratch=256)
    assert re.search(r" 64 1000 [1-9]\d* 0$", apart(run_softmax, [str(tmp_path / "k.zip")])[0])


def test_of_two_files_the_one_loaded_later_counts(tmp_path: Path) -> None:
    made_file(tmp_path / "a.zip", [SOFTMAX], shared=1024)
    made_file(tmp_path / "b.zip", [SOFTMAX], shared=2048)
    assert "shared 2048" in apart(run_softmax, [str(tmp_path / "a.zip"), str(tmp_path / "b.zip")])[0]


def test_what_is_not_there_says_what_to_run(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a.zip"), str(tmp_path / "b.zip")
    made_file(Path(a), [SOFTMAX])
    made_file(Path(b), [SOFTMAX], source="0" * 64)
    command = "accelnn kernels compile --arch sm_90 --call OP SHAPE"
    said = {"none": apart(fails, RELU, []), "other": apart(fails, RELU, [a]), "shape": apart(fails, Question("softmax", (("float32", (64, 3)),), {}), [a]),
            "stale": apart(fails, SOFTMAX, [b])}  # fmt: skip
    assert all(command in text and "triton, which would compile it, is not installed" in text for text in said.values()), said
    assert re.search(r"kernel pointwise.gpu_triton:pointwise_kernel<pointwise [0-9a-f]{16}> for sm_90: it is not in .*a\.zip", said["other"])
    assert re.search(r"a\.zip has it for other shapes and types than these: \[\[\"\*fp32\"", said["shape"])
    assert re.search(r"kernel softmax.gpu_triton:_softmax for sm_90: .*b\.zip has it compiled from another version of its source", said["stale"])


def test_the_source_of_a_kernel_is_all_that_it_is_made_of() -> None:
    """Its module and those that it imports; a program's text too."""
    (softmax,), (relu,) = launches(SOFTMAX), launches(RELU)
    (tanh,) = launches(Question("tanh", (("float32", (4, 1000)),), {}))
    assert name_of(relu.kernel) != name_of(tanh.kernel) and source_of(relu.kernel) != source_of(tanh.kernel)
    assert source_of(softmax.kernel) == source_of(launches(SOFTMAX)[0].kernel)
    row_modules.row_module("attention.gpu_triton")
    modules = kernel_files._modules("accelnn.kernels.attention.gpu_triton")
    assert {"accelnn.kernels.attention.gpu_triton", "accelnn.kernels.attention.gpu_triton_parts", "accelnn.kernels.launch"} <= modules


def test_a_recording_has_no_numbers() -> None:
    def step(device: str) -> None:
        x = an.tensor(np.ones((3, 8), np.float32), device=device)
        x.requires_grad = True
        loss = an.softmax(x).sum()
        loss.backward()
        loss.item()

    with pytest.raises(DeviceError, match="cuda:sm_90 has no numbers"):
        launches_of(step, "sm_90")
    with pytest.raises(DeviceError, match="no chip 'sm_75' is known; expected one of sm_80"):
        launches_of(step, "sm_75")
    assert "cuda:sm_90" not in remote._devices


def test_compiled_functions_are_recorded() -> None:
    """A Plan of a device launches what its calls launch."""

    def step(device: str) -> None:
        an.compile(lambda x: an.softmax(x))(an.tensor(np.ones((64, 1000), np.float32), device=device))

    assert [launch.kernel.__name__ for launch in launches_of(step, "sm_90")] == ["_softmax"]


def test_calls_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    path.write_text('[{"op": "softmax", "inputs": [["float32", [64, 1000]]], "attrs": {}}, {"op": "relu", "inputs": [["float32", [4, 1000]]]}]')
    assert questions_of(path) == [SOFTMAX, RELU]
    for text in ("{", '[{"op": "softmux", "inputs": []}]', '[{"op": "softmax", "inputs": [["float33", [1]]]}]', "[3]", '[{"op": "softmax"}]'):
        path.write_text(text)
        with pytest.raises(FormatError, match=r"calls\.json: "):
            questions_of(path)
