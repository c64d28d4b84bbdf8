"""The tables of block sizes and their reader. Needs neither triton nor a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from accelnn.kernels import configs

KERNELS = Path(configs.__file__).parent
TABLES = sorted(KERNELS.glob(f"*/{configs.NAME}"))
ENTRIES = [{"shape": [16, 1024], "BM": 16}, {"shape": [128, 128], "BM": 32}, {"shape": [4096, 4096], "BM": 128}]


def written(folder: Path, content: object) -> str:
    (folder / configs.NAME).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder / "gpu_triton.py")


@pytest.mark.parametrize("path", TABLES, ids=lambda p: p.parent.name)
def test_tables_are_what_the_reader_wants(path: Path) -> None:
    for kernel, devices in configs.table(str(path.parent)).items():
        for device, entries in devices.items():
            for entry in entries:
                found = configs.nearest(str(path), kernel, device, entry["shape"])
                assert found == {k: v for k, v in entry.items() if k != "shape"}, f"{kernel}, {device}: two entries of shape {entry['shape']}"
                assert all(v & (v - 1) == 0 for k, v in found.items() if k.startswith("B") or k == "warps"), f"{kernel}, {device}: {entry}: no powers of two"


def test_every_table_is_there() -> None:
    assert {p.parent.name for p in TABLES} >= {"matmul", "dynamic_qmatmul", "weight_only"}


@pytest.mark.parametrize(("shape", "block"), [((16, 1024), 16), ((1, 4096), 16), ((100, 100), 32), ((0, 0), 32), ((1 << 40, 1 << 40), 128), ((999, 999), 128)])
def test_the_nearest_shape_by_logarithms(tmp_path: Path, shape: tuple[int, int], block: int) -> None:
    file = written(tmp_path, {"k": {"any": ENTRIES}})
    assert configs.nearest(file, "k", "sm_90", shape) == {"BM": block}


def test_of_two_as_near_the_first(tmp_path: Path) -> None:
    file = written(tmp_path, {"k": {"any": [{"shape": [64], "BM": 1}, {"shape": [256], "BM": 2}]}})
    assert configs.nearest(file, "k", "sm_90", (128,)) == {"BM": 1}


def test_a_device_with_a_list_of_its_own(tmp_path: Path) -> None:
    file = written(tmp_path, {"k": {"any": ENTRIES, "sm_80": [{"shape": [1, 1], "BM": 64}]}})
    assert configs.nearest(file, "k", "sm_80", (4096, 4096)) == {"BM": 64}
    assert configs.nearest(file, "k", "gfx942", (4096, 4096)) == {"BM": 128}


def test_what_is_returned_may_be_changed(tmp_path: Path) -> None:
    file = written(tmp_path, {"k": {"any": ENTRIES}})
    configs.nearest(file, "k", "sm_90", (16, 1024))["BM"] = 7
    assert configs.nearest(file, "k", "sm_90", (16, 1024)) == {"BM": 16}


@pytest.mark.parametrize(("content", "words"), [
    ("not json", "a table of configurations expected"),
    ([], "an object expected"),
    ({"k": []}, "an object expected"),
    ({"k": {"any": []}}, "a list of entries expected"),
    ({"k": {"any": [{"BM": 1}]}}, "an entry with a shape expected"),
    ({"k": {"any": [{"shape": [0], "BM": 1}]}}, "positive whole numbers expected"),
    ({"k": {"any": [{"shape": [1], "BM": "1"}]}}, "positive whole numbers expected"),
    ({"k": {"any": [{"shape": [1], "BM": 1}, {"shape": [2], "BN": 1}]}}, "other names or dims"),
    ({"k": {"any": [{"shape": [1], "BM": 1}, {"shape": [2, 2], "BM": 1}]}}, "other names or dims"),
    ({"other": {"any": [{"shape": [1], "BM": 1}]}}, "no kernel k; it has other"),
    ({"k": {"sm_80": [{"shape": [1], "BM": 1}]}}, "neither sm_90 nor any"),
    ({"k": {"any": [{"shape": [1, 2], "BM": 1}]}}, "asked for"),
])  # fmt: skip
def test_a_table_that_cannot_be_is_refused(tmp_path: Path, content: object, words: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(configs.ConfigError, match=words) as refused:
        configs.nearest(file, "k", "sm_90", (1,))
    assert str(tmp_path) in str(refused.value)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(configs.ConfigError, match="a table of configurations expected"):
        configs.nearest(str(tmp_path / "gpu_triton.py"), "k", "sm_90", (1,))
