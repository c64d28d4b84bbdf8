"""What `make gpu` does with steps that fail, hang or leave nothing, and what its record makes of them. `make gpu-rehearsal` runs the steps themselves."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import record as records, sanitizer
from benchmarks.gpu.steps import Outcome, Runner, Step

GOOD = (sys.executable, "-c", "print('right')")
BAD = (sys.executable, "-c", "print('no such device'); raise SystemExit(3)")
HANGS = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")


def run(folder: Path, *steps: Step, seconds: float = 30) -> list[tuple[str, str, str]]:
    return [(o.name, o.status, o.why) for o in Runner(folder, seconds).run(steps, lambda said: None)]


def test_what_follows_a_failure_is_run(tmp_path: Path) -> None:
    found = run(tmp_path, Step("bad", [GOOD, BAD], 20, 0), Step("good", [GOOD], 20, 0))
    assert found == [("bad", "failed", "exit code 3; no such device"), ("good", "done", "")]
    assert (tmp_path / "good.log").read_text() == "right\n"


def test_nothing_follows_what_was_needed(tmp_path: Path) -> None:
    steps = Step("needed", [BAD], 20, 0, needed=True), Step("later", [GOOD], 20, 0)
    assert [s for _, s, _ in run(tmp_path, *steps)] == ["failed", "skipped"]
    left_out = Step("needed", [BAD], 20, 0, needed=True, skip="it is there already"), steps[1]
    assert [s for _, s, _ in run(tmp_path, *left_out)] == ["skipped", "done"]


def test_what_hangs_is_ended_and_what_comes_later_has_its_time(tmp_path: Path) -> None:
    begin = time.monotonic()
    found = run(tmp_path, Step("hangs", [HANGS], 600, 0), Step("later", [GOOD], 20, 5), seconds=18)
    assert [s for _, s, _ in found] == ["stopped", "done"]
    assert time.monotonic() - begin < 20


def test_a_program_that_is_missing_fails_its_step_alone(tmp_path: Path) -> None:
    assert [s for _, s, _ in run(tmp_path, Step("missing", [(str(tmp_path / "nothing"),)], 20, 0), Step("good", [GOOD], 20, 0))] == ["failed", "done"]


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    assert run(tmp_path, Step("late", [GOOD], 20, 0), seconds=1) == [("late", "skipped", "no time was left")]


RACE = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at softmax_kernel+0x1a0 in softmax.cu:12
=========     and Read access at softmax_kernel+0x2b0 in softmax.cu:15 [4096 hazards]
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
OUTSIDE = """========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 4 bytes
=========     at take_kernel(float*, long)+0x70 in take.cu:9
========= ERROR SUMMARY: 2 errors
"""


@pytest.mark.parametrize(("text", "errors", "where"), [(RACE, 1, "softmax_kernel"), (OUTSIDE, 2, "take_kernel")])
def test_findings_of_the_sanitizer_are_problems(tmp_path: Path, text: str, errors: int, where: str) -> None:
    tool = "racecheck" if text is RACE else "memcheck"
    (tmp_path / f"{tool}.txt").write_text(text)
    made = records.assemble(tmp_path, [], False)
    assert made["sanitizer"][tool]["errors"] == errors
    assert any(p.startswith(f"{tool}: {errors} errors") and where in p for p in records.problems(made))


def test_a_report_without_its_end_is_not_a_clean_one() -> None:
    assert sanitizer.read("\n".join(OUTSIDE.splitlines()[:1]))["errors"] is None


def test_what_a_stopped_step_had_written_counts(tmp_path: Path) -> None:
    lines = [json.dumps({"test": "t.py::a", "outcome": "passed"}), json.dumps({"test": "t.py::b", "outcome": "failed", "why": "0.5 apart"}), '{"test": "t.p']
    (tmp_path / "tests-report-0.jsonl").write_text("\n".join(lines))
    (tmp_path / "conformance-0.log").write_text(json.dumps({"row": "softmax_f32", "outcome": "different", "why": "3 elements"}) + "\n")
    made = records.assemble(tmp_path, [Outcome("tests", "stopped", 110.0, "1 of 2 processes")], False)
    assert (made["tests"]["passed"], made["tests"]["failed"], made["conformance"]["different"]) == (1, 1, 1)
    assert len(records.problems(made)) == 2 and records.unfinished(made) == ["step tests: stopped: 1 of 2 processes"]
    assert json.loads(records.text(made)) == json.loads(json.dumps(made, default=str)) | {"date": made["date"]}


def test_a_record_is_named_after_its_gpu(tmp_path: Path) -> None:
    made = records.assemble(tmp_path, [], False) | {"machine": {"gpu": {"name": "NVIDIA H100 80GB HBM3"}}, "date": "2026-01-02T03:04:05"}
    assert records.name_of(made) == "gpu-h100-80gb-hbm3-2026-01-02"
