"""`accelnn bench` from outside: text, JSON, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import accelnn as an
from accelnn import _C
from accelnn.bench import Pace, Printer, plain, show
from accelnn.bench.measure import Contestant
from accelnn.bench.own import OWN
from accelnn.bench.rows import beaten
from accelnn.core.errors import AttributeValueError

from ..conftest import need_module
from .records import record, row

ROOT = Path(__file__).resolve().parents[2]
ONE = ("--quick", "--threads", 1)
FAST = Pace(0.004, 3, 0.0, 1.0)


def bench(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "accelnn", "bench", *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def documented() -> str:
    """The example of docs/bench.md."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/bench.md").read_text(), re.S)[0]  # type: ignore[no-any-return, unused-ignore]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run of the command with the documented kernel beside it: the process, its record and its folder."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "mine.py").write_text(documented())
    done = bench("matmul_nk", "--shapes", "16x16x16,3x40x24", *ONE, "--against", "numpy", "--with", "mine.py", "--json", "new.json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, json.loads((folder / "new.json").read_text()), folder


def test_the_documented_kernel_is_measured(run: Any) -> None:
    done, found, _ = run
    mine = [r for r in found["rows"] if r["subject"] == "mine"]
    assert {r["shape"] for r in mine} == {"16x16x16", "3x40x24"} and all({"np.matmul", "accelnn"} <= set(r["peers"]) for r in mine)
    assert "mine against the best peer" in done.stdout and "All results were right" in done.stdout


def test_the_text_has_80_columns_and_no_colour(run: Any) -> None:
    lines = run[0].stdout.splitlines()
    assert max(map(len, lines)) <= 80 and "\x1b" not in run[0].stdout and not run[0].stderr
    assert any(re.match(r"  16x16x16 +\d+(\.\d+)? [nu]s +\d+% +[\d.]+ GFLOP/s  \d+% FMA +\d+\.\d\dx np\.", line) for line in lines)


def test_the_record_holds_everything(run: Any) -> None:
    found = run[1]
    assert set(found) == {"schema", "date", "version", "commit", "machine", "libraries", "settings", "sessions", "rows"}
    assert found["version"] == an.__version__ and found["machine"]["cpu"] and found["libraries"]["numpy"]
    session = found["sessions"][0]
    assert session["threads"] == 1 and set(session["ceilings"]["read"]) == {"L1", "L2", "L3", "DRAM"} == set(session["ceilings_after"]["read_4k"])
    for r in found["rows"]:
        assert set(row("1x1x1", 1.0)) == set(r), "tests/bench/records.py makes rows like the real ones"
        assert r["time"]["min"] <= r["time"]["q1"] <= r["time"]["median"] <= r["time"]["q3"] and len(r["time"]["blocks"]) == 5
        assert r["best"] in r["peers"] and 0 < r["share"]
    assert {r["row"] for r in found["rows"] if r["subject"] == "accelnn"} <= {x["name"] for x in _rows("matmul")}


def _rows(op: str) -> Any:
    from accelnn import _C

    return next(o["rows"] for o in _C.ops() if o["name"] == op)


def test_regressions_end_with_1(run: Any) -> None:
    """The run just made, against records that claim other times."""
    _, found, folder = run
    for name, factor in (("fast", 0.01), ("slow", 100)):
        claimed = json.loads(json.dumps(found))
        claimed["rows"] = [r for r in claimed["rows"] if r["subject"] == "accelnn"]
        for r in claimed["rows"]:
            r["time"] |= {k: r["time"][k] * factor for k in ("median", "q1", "q3", "min")} | {"noise": 0.01}
        (folder / f"{name}.json").write_text(json.dumps(claimed))
    common = ("matmul_nk", "--shapes", "16x16x16", *ONE, "--against", "none")
    worse = bench(*common, "--compare", "fast.json", "--json", "-", cwd=folder)
    assert worse.returncode == 1 and "1 slower" in worse.stderr and "slower: matmul f32, weights N x K, 16x16x16" in worse.stderr
    assert {r["shape"] for r in json.loads(worse.stdout)["rows"]} == {"16x16x16"}, "stdout is one JSON document"
    better = bench(*common, "--compare", "slow.json", cwd=folder)
    assert better.returncode == 0 and "0 slower, 1 faster" in better.stdout
    (folder / "broken.json").write_text("{}")
    refused = bench(*common, "--compare", "broken.json", cwd=folder)
    assert refused.returncode == 1 and "not a record" in refused.stderr and not refused.stdout


def test_a_wrong_kernel_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("""import accelnn as an

@an.bench.register("bad", op="matmul")
def bad(a, b):
    y = a @ b
    y[-1, -1] += 1
    return y
""")
    done = bench("matmul_nk", "--shapes", "8x9x10", *ONE, "--against", "none", "--with", "bad.py", cwd=tmp_path)
    assert done.returncode == 1 and "WRONG: bad: [7, 9] is" in done.stdout and "wrong result" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_no_gpu_is_told() -> None:
    if _C.cuda.available()[0]:
        pytest.skip("there is a GPU here")
    done = bench("--device", "cuda")
    assert done.returncode == 1 and "--device cuda: no GPU: " in done.stderr and "gpu driver" in done.stderr and not done.stdout
    for wrong in (("--threads", "2"), ("--with", "mine.py")):
        refused = bench("--device", "cuda", *wrong)
        assert refused.returncode == 2 and f"{wrong[0]} is for the CPU" in refused.stderr


@pytest.mark.parametrize("arguments", [("matmul", "--threads", "0"), ("nothing",), ("matmul", "--shapes", "1x2"), ("--with", "nowhere.py"),
                                       ("--with", "nowhere"), ("matmul", "--against", "jax")])  # fmt: skip
def test_wrong_arguments(arguments: tuple[str, ...]) -> None:
    done = bench(*arguments)
    assert done.returncode == 1 and done.stderr.startswith("accelnn bench: ") and not done.stdout


def test_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Every row, the pick marked; text as the command prints it."""
    found = an.bench.run("softmax", shapes=["16x33"], rows=True, pace=FAST, against=(), printer=Printer(sys.stdout, plain))
    lines = {r["subject"]: r for r in found["rows"]}
    assert list(lines) == [r["name"] for r in _rows("softmax")]
    picked = [name for name, r in lines.items() if r["picked"]]
    assert len(picked) == 1 and lines[picked[0]]["time"]["median"] > 0 and "beaten_by" in lines[picked[0]]
    text = capsys.readouterr().out
    assert f"-> {picked[0]}" in text and "The dispatcher picks the fastest row in" in text and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("work", ["matmul_packed", "matmul_bf16_packed", "dynamic_qmatmul", "qmatmul"])
def test_rows_of_packed_weights(work: str) -> None:
    found = an.bench.run(work, shapes=["5x33x40"], rows=True, pace=FAST, against=())["rows"]
    assert sum(r["picked"] for r in found) == 1 and sum("time" in r for r in found) >= 3 and not any("error" in r for r in found)


def test_a_pick_that_is_beaten_is_told() -> None:
    times = {"pick": [2.0, 2.1, 2.0], "faster": [1.0, 1.05, 1.0], "even": [1.98, 2.1, 2.0]}
    pick, faster, even = (Contestant("accelnn", name, [], [], blocks=blocks) for name, blocks in times.items())
    assert beaten(pick, [even]) is None
    assert (beaten(pick, [even, faster]) or {})["row"] == "faster"


def test_from_python() -> None:
    before = dict(OWN)
    try:
        @an.bench.register("ours twice", op="softmax")
        def twice(x: Any) -> Any:
            return an.tensor(x).softmax(-1)

        found = an.bench.run("softmax", shapes=["4x9"], pace=FAST, against=["numpy"])
        assert {r["subject"] for r in found["rows"]} == {"accelnn", "ours twice"} and not any("error" in r for r in found["rows"])
        for name, op in (("ours twice", "softmax"), ("accelnn", "softmax")):
            with pytest.raises(AttributeValueError, match="taken"):
                an.bench.register(name, op=op, run=abs)
        with pytest.raises(an.Error, match="nothing to measure"):
            an.bench.register("other", op="softmacks", run=abs)
        an.bench.register("fails", op="softmax", run=lambda x: 1 / 0)
        assert "division by zero" in next(r["error"] for r in an.bench.run("softmax", shapes=["4x9"], pace=FAST, against=())["rows"] if r["subject"] == "fails")
    finally:
        OWN.clear()
        OWN.update(before)


def test_roofline(tmp_path: Path) -> None:
    need_module("matplotlib")
    from accelnn.bench.plot import roofline

    roofline(record(row("16x16x16", 1e-3), row("1x1x1", 2e-3, best=None, ratio=None)), tmp_path / "roof.png")
    data = (tmp_path / "roof.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 20_000
    assert not list(tmp_path.glob(".*"))


def test_a_record_reads_like_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    long = row("1x64x56x56:64x64x3x3:padding=1:stride=2", 1e-3, work="conv2d", group="conv2d f32", left_out={"torch NHWC": "says no " * 20})
    show(record(row("16x16x16", 2e-3), row("32x32x32", 5e-4), long))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for words in ("0.50x np.matmul", "geomean 1.00x, least 0.50x at 16x16x16", "torch NHWC left out: says no", "slower in 1", "limits  FMA 100 GFLOP/s"):
        assert words in text
