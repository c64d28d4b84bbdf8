"""A few cases of tests/fuzz/models.py (make fuzz-models runs it for as long as one likes): real files, mutated, give an answer or an accelnn.Error."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

import accelnn as an
from accelnn.core.errors import FormatError, ShapeError
from accelnn.formats.onnx import wire

from ..conftest import need_module


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "fuzz/models.py"
    spec = importlib.util.spec_from_file_location("fuzz_models", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # its annotations are looked up there
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("kind", ["onnx", "accel"])
def test_mutated_files_are_answered_or_refused(kind: str, fuzz: ModuleType, tmp_path: Path) -> None:
    from .test_onnx_real import MODELS, place

    name = "speechmos/plcmos_models/plcmos_v2.onnx" if kind == "accel" else "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
    path = place(name)
    first = an.load(path).input_names
    made = [fuzz.KINDS[kind](path, {k: v for k, v in MODELS[name](first[0])[0].items() if k in first})]
    wrong = [w for n in range(25) if (w := fuzz.one(made, 7, n, tmp_path))]
    assert wrong == []


def test_the_mutations_know_the_format(fuzz: ModuleType) -> None:
    """Read as a tree and written, a file is what it was; mutated, it is not."""
    need_module("silero_vad")
    from .test_onnx_real import place

    raw = place("silero_vad/data/silero_vad_half.onnx").read_bytes()
    tree = fuzz.read_tree(wire.Model, raw)
    assert fuzz.write_tree(tree) == raw
    fuzz.mutate_tree(tree, random.Random(3))
    assert fuzz.write_tree(tree) != raw


def test_numbers_one_by_one_and_packed() -> None:
    values = [0, 1, 127, 128, 300, 1 << 40, (1 << 63) - 1, -1, -(1 << 63)]
    raw = b"".join(_varint(v) for v in values)
    assert wire.varints(memoryview(raw)).tolist() == values
    dims = b"".join(b"\x08" + _varint(v) for v in values)
    tensor = wire._message(wire.Tensor, memoryview(dims), 0, len(dims), 0)
    assert tensor.dims == values
    packed = b"\x3a" + _varint(len(raw)) + raw + b"\x38" + _varint(5)  # int64_data: packed, then one on its own
    tensor = wire._message(wire.Tensor, memoryview(packed), 0, len(packed), 0)
    assert wire.together(tensor.int64_data, "i8").tolist() == [*values, 5]
    for bad in (b"\x80", b"\xff" * 11, b"\x3a\x05\x01", b"\x0b", b"\x00\x01", b"\x42\x01\xff", b"\x08"):
        with pytest.raises(FormatError):
            wire._message(wire.Tensor, memoryview(bad), 0, len(bad), 0)
    deep = b""
    for _ in range(200):
        deep = b"\x32" + _varint(len(deep)) + deep  # Attribute.g
        deep = b"\x2a" + _varint(len(deep)) + deep  # Node.attribute
        deep = b"\x0a" + _varint(len(deep)) + deep  # Graph.node
    with pytest.raises(FormatError, match="deep"):
        wire._message(wire.Graph, memoryview(deep), 0, len(deep), 0)


def _varint(n: int) -> bytes:
    n, out = n % (1 << 64), bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def test_a_wrong_number_of_operands_is_said() -> None:
    with pytest.raises(ShapeError, match="mul: 1 operands"):
        _apply("mul", 1)
    with pytest.raises(ShapeError, match="exp: 2 operands"):
        _apply("exp", 2)


def _apply(name: str, n: int) -> None:
    from accelnn.core.graph import Spec
    from accelnn.core.registry import OPS

    OPS[name].specs([Spec((2,), an.float32)] * n, {})
