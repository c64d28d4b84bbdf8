"""`.accel` files: round trips, and what hostile or broken ones get: a clear error before anything of them runs."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.errors import Error, FormatError
from accelnn.formats import accel
from accelnn.passes.plan import SECTIONS, container, sections

from ..conftest import batch, lenet


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    net = lenet()
    x, y = batch(64)
    return {"float32": an.freeze(net, x), "int8": an.compress(net, x.numpy(), y.numpy(), quiet=True)}


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_round_trip_gives_the_same_bits(models: Any, kind: str, tmp_path: Path) -> None:
    model = models[kind]
    model.save(tmp_path / "m.accel")
    again = an.load(tmp_path / "m.accel")
    for n in (0, 1, 3, 64):
        x = batch(n, seed=n)[0]
        assert model(x).numpy().tobytes() == again(x).numpy().tobytes()
    assert again.file == model.file


def test_a_loaded_model_can_be_compressed(models: Any, tmp_path: Path) -> None:
    x = batch(64)[0].numpy()
    models["float32"].save(tmp_path / "m.accel")
    small = an.compress(an.load(tmp_path / "m.accel"), x, quiet=True)
    assert np.array_equal(small(x).numpy(), models["int8"](x).numpy())


def test_every_cut_is_refused(models: Any) -> None:
    file = models["int8"].file
    rng = np.random.default_rng(0)
    for n in [0, 1, 31, 32, 33, 100, *rng.integers(0, len(file), 60).tolist()]:
        with pytest.raises(FormatError):
            _C.Plan(file[:n])


def test_every_flipped_bit_is_refused(models: Any) -> None:
    file = models["int8"].file
    rng = np.random.default_rng(1)
    for at in [0, 8, 12, 16, 24, *rng.integers(0, len(file), 200).tolist()]:
        broken = bytearray(file)
        broken[at] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(FormatError):
            _C.Plan(bytes(broken))


def test_sound_checksum_over_hostile_tables_is_refused_or_harmless(models: Any) -> None:
    """Mutates the tables and signs them anew, as an attacker would: an error, or a plan that runs; never a crash."""
    parts = sections(models["int8"].file)
    records = {"numbers": 8, "dims": 24, "buffers": 40, "values": 144, "attrs": 16, "operands": 4, "calls": 40, "blocks": 8, "ports": 16}
    sizes = {SECTIONS[k]: n for k, n in records.items()}
    rng = np.random.default_rng(2)
    x = batch(2)[0]
    refused = 0
    for _ in range(400):
        kind = int(rng.choice(list(sizes)))
        data = bytearray(parts[kind])
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, len(data) // 4)) * 4
            data[at : at + 4] = struct.pack("<I", int(rng.choice([0, 1, 2, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1])))
        body = [(k, len(d) // sizes.get(k, 1), bytes(data) if k == kind else d) for k, d in parts.items()]
        try:
            _C.Plan(container(body)).run((x.view,), ())
        except (Error, MemoryError):
            refused += 1
    assert refused > 200


def test_hostile_graph_sections_are_refused(models: Any) -> None:
    text = models["int8"].plan.graph()
    file = models["int8"].file
    good = json.loads(text)

    def broken(change: Any) -> bytes:
        copy = json.loads(text)
        change(copy)
        return json.dumps(copy).encode()

    assert accel.decode(json.dumps(good).encode(), file)
    first_op = next(i for i, n in enumerate(good["nodes"]) if "inputs" in n)
    first_constant = next(i for i, n in enumerate(good["nodes"]) if n["op"] == "constant")
    changes = [
        lambda d: d.update(version=99),
        lambda d: d["nodes"][first_op].update(op="no_such_op"),
        lambda d: d["nodes"][first_op].update(inputs=[[10**6, 0]]),
        lambda d: d["nodes"][first_op].update(inputs=[[-1, 0]]),
        lambda d: d["nodes"][first_op].update(outputs=[[[1, 2], "float32"]]),
        lambda d: d["nodes"][first_constant].update(offset=10**12),
        lambda d: d["nodes"][first_constant].update(offset=-1),
        lambda d: d["nodes"][first_constant].update(outputs=[[[-5], "float32"]]),
        lambda d: d.pop("outputs"),
    ]
    for change in changes:
        with pytest.raises(FormatError):
            accel.decode(broken(change), file)
    for junk in (b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"version":1}', b"[" * 100_000):
        with pytest.raises(FormatError):
            accel.decode(junk, file)


def test_saving_is_whole_or_nothing(models: Any, tmp_path: Path) -> None:
    target = tmp_path / "m.accel"
    target.write_bytes(b"what the user had")
    with pytest.raises(OSError):
        models["int8"].save(tmp_path / "no" / "such" / "folder.accel")
    models["int8"].save(target)
    assert target.read_bytes() == models["int8"].file and list(tmp_path.iterdir()) == [target]


def test_safetensors_round_trip_and_broken_file(tmp_path: Path) -> None:
    a, b = lenet(0), lenet(1)
    a.save(tmp_path / "w.safetensors")
    b.load(tmp_path / "w.safetensors")
    assert all(np.array_equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:100])
    before = b.state_dict()
    with pytest.raises(Error):
        b.load(tmp_path / "w.safetensors")
    assert all(np.array_equal(v, b.state_dict()[k]) for k, v in before.items())
