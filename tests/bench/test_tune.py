"""The tuner of device kernels with a clock that says what a test wants: the search, what it leaves out, and what it writes. Nothing is measured here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from accelnn.kernels import configs

from accelnn import _C
from accelnn.bench.tune import BETTER, Asked, Config, Events, Unfit, asked_by, neighbours, search, starts, write
from accelnn.cli import main
from accelnn.core.errors import AttributeValueError, KernelError
from accelnn.core.recording import Question

from ..cuda.fake import Fake, forked

ROOT = Path(__file__).resolve().parents[2]
NOW: Config = {"BM": 64, "BN": 64, "warps": 4, "stages": 3}
PRODUCT = Question("matmul", (("bfloat16", (512, 768)), ("bfloat16", (768, 3072))), {})


def bowl(config: Config) -> float:
    """Fastest at BM 256, BN 32, 8 warps, 4 stages; what takes more than 32,768 numbers of shared memory does not run."""
    if config["BM"] * config["BN"] * config["stages"] > 1 << 15:
        raise Unfit("out of resource: shared memory")
    right = {"BM": 256, "BN": 32, "warps": 8, "stages": 4}
    return 1 + sum(max(config[k], n) / min(config[k], n) - 1 for k, n in right.items())


def test_the_search_finds_the_bottom() -> None:
    found = search(NOW, [], bowl)
    assert found.best == {"BM": 256, "BN": 32, "warps": 8, "stages": 4} and found.before == NOW
    assert found.time_of(found.best) == 1 and found.time_of(NOW) == bowl(NOW)
    assert [t for t, _ in found.times] == sorted(t for t, _ in found.times)
    assert found.unfit and all(c["BM"] * c["BN"] * c["stages"] > 1 << 15 and "shared memory" in why for c, why in found.unfit)
    assert len(found.times) + len(found.unfit) <= 64


def test_it_starts_from_the_best_of_the_table() -> None:
    """With no walk: four tries are the four starts."""
    table = [{**NOW, "BM": bm} for bm in (16, 128, 256)]
    found = search(NOW, table, bowl, most=4)
    assert found.best == {**NOW, "BM": 128} and len(found.times) == 3 and [c["BM"] for c, _ in found.unfit] == [256]


def test_what_is_faster_by_less_than_noise_changes_nothing() -> None:
    fast, faster = {**NOW, "BM": 32}, {**NOW, "BN": 32}
    times = {tuple(NOW.items()): 1.0, tuple(fast.items()): BETTER + 0.001}

    def measure(config: Config) -> float:
        return times.get(tuple(config.items()), 2.0)

    assert search(NOW, [fast], measure).best == NOW
    times[tuple(faster.items())] = BETTER - 0.001
    assert search(NOW, [fast, faster], measure).best == faster


def test_a_lucky_measurement_is_repeated() -> None:
    lucky = {**NOW, "BM": 32}
    seen: list[Config] = []

    def measure(config: Config) -> float:
        seen.append(config)
        return 0.1 if config == lucky and seen.count(lucky) == 1 else 2.0 if config == lucky else 1.0 if config == NOW else 3.0

    assert search(NOW, [lucky], measure).best == NOW and seen.count(lucky) == 6


def test_what_the_table_says_may_not_run_here() -> None:
    def measure(config: Config) -> float:
        if config == NOW:
            raise Unfit("too large")
        return 1.0

    assert search(NOW, [{**NOW, "BM": 32}], measure).best != NOW
    with pytest.raises(KernelError, match="no configuration runs.*BM.*: too large"):
        search(NOW, [], measure)


def test_neighbours_stay_within_what_kernels_take() -> None:
    least, most = {"BM": 16, "GROUP": 1, "warps": 1, "stages": 1}, {"BM": 512, "GROUP": 64, "warps": 16, "stages": 7}
    assert list(neighbours(least)) == [{**least, "BM": 32}, {**least, "GROUP": 2}, {**least, "warps": 2}, {**least, "stages": 2}]
    assert list(neighbours(most)) == [{**most, "BM": 256}, {**most, "GROUP": 32}, {**most, "warps": 8}, {**most, "stages": 6}]


def test_which_table_a_call_asks() -> None:
    row, asked, now = asked_by(PRODUCT, "sm_90")
    assert row.name == "matmul_bf16_triton_descriptors" and asked == Asked(str(ROOT / "kernels/matmul"), "matmul_descriptors", (512, 3072, 768))
    assert now in starts(asked) and now == configs.nearest(str(ROOT / "kernels/matmul/x.py"), asked.kernel, "sm_90", asked.shape)
    with pytest.raises(AttributeValueError, match="softmax: softmax_f32_triton asks no table"):
        asked_by(Question("softmax", (("float32", (4, 8)),), {}), "sm_90")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "kernels/matmul/gpu_configs.json", tmp_path)
    return tmp_path


def test_a_device_gets_a_list_of_its_own_and_others_keep_theirs(folder: Path) -> None:
    file, before = str(folder / "gpu_triton.py"), json.loads((folder / configs.NAME).read_text())
    small, shape = configs.nearest(file, "matmul_float32", "sm_89", (16, 1024, 1024)), (4000, 4000, 4000)
    best = {**configs.nearest(file, "matmul_float32", "sm_89", shape), "BM": 256}
    write(Asked(str(folder), "matmul_float32", shape), "sm_89", best)
    assert configs.nearest(file, "matmul_float32", "sm_89", shape) == best
    assert configs.nearest(file, "matmul_float32", "sm_89", (16, 1024, 1024)) == small, "one entry does not count for every shape"
    write(Asked(str(folder), "matmul_float32", shape), "sm_89", {**best, "BM": 128})
    after = json.loads((folder / configs.NAME).read_text())
    added = after["matmul_float32"].pop("sm_89")
    assert after == before and [e["shape"] for e in added].count(list(shape)) == 1 and len(added) == len(before["matmul_float32"]["any"]) + 1


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").glob("*/gpu_configs.json")), ids=lambda p: p.parent.name)
def test_tables_are_written_as_they_lie(path: Path) -> None:
    assert configs.text(json.loads(path.read_text())) == path.read_text()


def test_a_watch_answers_for_the_table() -> None:
    _, asked, now = asked_by(PRODUCT, "sm_90")
    other = {**now, "stages": now["stages"] + 1}
    file = str(Path(asked.folder) / "x.py")
    with configs.watched(lambda folder, kernel, shape, found: other if (folder, kernel, shape) == (asked.folder, asked.kernel, asked.shape) else found):
        assert configs.nearest(file, asked.kernel, "sm_90", asked.shape) == other
    assert configs.nearest(file, asked.kernel, "sm_90", asked.shape) == now


@forked
def test_the_events_of_a_device_are_its_clock() -> None:
    fake = Fake()
    _C.cuda.device_info(0)
    calls: list[Any] = []
    assert Events(0).time(lambda: calls.append(1), 7) >= 0 and len(calls) == 7
    assert fake.calls("cuEventRecord") == 2 and fake.calls("cuEventSynchronize") == 1


@forked
def test_without_a_gpu_the_command_says_so() -> None:
    Fake().set(devices=0)
    from contextlib import redirect_stderr
    from io import StringIO

    said = StringIO()
    with redirect_stderr(said):
        assert main(["kernels", "tune", "matmul", "64x64x64"]) == 1
        assert main(["kernels", "tune", "softmax", "64x64"]) == 1
    first, second = said.getvalue().splitlines()
    assert "kernels are tuned by measuring them on a GPU, and there is none" in first and "asks no table" in second
