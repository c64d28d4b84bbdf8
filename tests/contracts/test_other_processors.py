"""The contract tests for rows that this processor cannot run: compiled by zig, run under qemu-user, judged as those of test_rows.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accelnn import _C
from accelnn.deploy import link, toolchain as tc

from ..conftest import need_module, need_program
from .contract import Sample, judge, samples
from .remote import Answers, build, question

LEVELS = _C.machine()["levels"]


def ask(command: list[str], asked: list[Sample], arch: str, refused: set[str]) -> tuple[dict[str, int], dict[str, int], int]:
    """Asks every row of a processor; how many calls each row answered and refused, and the instructions of the server's processor.
    `refused`: the only rows that may refuse because of the processor."""
    calls = [(s, *s.call(), [row["name"] for row in s.rows if not tc.is_foreign(row["name"], arch)]) for s in asked]
    answers = Answers(command, [question(s, inputs, outputs, rows) for s, inputs, outputs, rows in calls])
    ran: dict[str, int] = {}
    no: dict[str, int] = {}
    for sample, _, outputs, rows in calls:
        for row in rows:
            try:
                result = answers.next(outputs)
                if isinstance(result, str):
                    assert row in refused or not result.startswith("this CPU"), result
                    no[row] = no.get(row, 0) + 1
                else:
                    judge(sample, outputs, result)
                    ran[row] = ran.get(row, 0) + 1
            except AssertionError as wrong:
                raise AssertionError(f"{sample.name}, {row}: {wrong}") from wrong
    assert answers.at == len(answers.data)
    return ran, no, answers.isa


@pytest.fixture(scope="module")
def arm_server(tmp_path_factory: Any) -> Path:
    need_module("ziglang")
    return build(link.zig("aarch64"), tmp_path_factory.mktemp("aarch64"))


def test_rows_of_aarch64_meet_their_contracts(arm_server: Path) -> None:
    """Every row x every sample; integer results are compared bit for bit with the same reference as x86's, so both are equal."""
    asked = samples()
    ran, no, isa = ask([need_program("qemu-aarch64"), "-cpu", "max", str(arm_server)], asked, "aarch64", set())
    assert isa == LEVELS["dotprod"]
    every = {row["name"] for s in asked for row in s.rows if not tc.is_foreign(row["name"], "aarch64")}
    by_shape = {row for row in no if row.endswith(("_last", "_planes", "_pixels")) or row.startswith("pointwise_")}      # they run where they pay
    assert set(ran) == every and not (no.keys() - by_shape) & ran.keys(), f"without a test: {every - set(ran)}, refusing: {no}"
    assert {"matmul_f32_arm_neon", "qmatmul_u8_arm_dotprod", "conv2d_f32_arm_neon", "qconv2d_u8_arm_dotprod"} <= set(ran)


def test_an_arm_without_dotprod_refuses_its_rows(arm_server: Path) -> None:
    asked = [next(s for s in samples() if s.op.name == name) for name in ("matmul", "qmatmul", "qconv2d")]
    dot = {"qmatmul_u8_arm_dotprod", "qconv2d_u8_arm_dotprod"}
    ran, no, isa = ask([need_program("qemu-aarch64"), "-cpu", "cortex-a53", str(arm_server)], asked, "aarch64", dot)
    assert isa == LEVELS["neon"] and set(no) == dot and "matmul_f32_arm_neon" in ran and "qmatmul_u8_base" in ran


def test_the_server_says_what_the_library_says(tmp_path: Path) -> None:
    """The same server for this processor: what it finds is what test_rows.py finds, so under qemu it can be believed."""
    chain = tc.native()
    if chain is None:
        pytest.skip("no C++ compiler")
    asked = [s for s in samples() if s.op.name in ("matmul", "qmatmul", "conv2d", "relu", "sum", "max_pool2d")]
    detected = _C.machine()["detected"]
    lacking = {row["name"] for s in asked for row in s.rows if row["isa"] & ~detected}
    ran, _, isa = ask([str(build(chain, tmp_path))], asked, chain.arch, lacking)
    assert isa == detected and len(ran) > 10
    bad = Sample(asked[0].op, "cut short", asked[0].arrays, asked[0].attrs)
    inputs, outputs = bad.call()
    cut = Answers([str(tmp_path / "row_server")], [question(bad, inputs, outputs, ["no_such_row"])])
    with pytest.raises(AssertionError, match="no such row"):
        cut.next(outputs)
    with pytest.raises(AssertionError, match="ended with 0"):
        cut.next(outputs)
