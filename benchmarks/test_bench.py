"""The cases of `accelnn bench` as pytest-benchmark suites: pytest benchmarks [-k "matmul and accelnn"] [--benchmark-compare].

Here every contestant is timed on its own, as pytest-benchmark does it. Ratios in one run, ceilings and checks are what `accelnn bench` is for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from accelnn.bench import Case, cases, peers
from accelnn.bench.measure import input_sets

THREADS = 1


def contestants(case: Case) -> list[str]:
    return ["accelnn", *(p.label for p in peers.peers(case.find(), peers.LIBRARIES))]


CASES = [pytest.param(case, label, id=f"{case.key} | {label}") for case in cases(quick=True) for label in contestants(case)]


@pytest.mark.parametrize(("case", "label"), CASES)
def test_case(benchmark: Any, case: Case, label: str) -> None:
    import accelnn as an

    an.set_num_threads(THREADS)
    work = case.find()
    sets = input_sets(work, case.shape)
    benchmark.group = case.key
    if label == "accelnn":
        calls = [work.ours(x) for x in sets]
    else:
        make = next(p.make for p in peers.peers(work, peers.LIBRARIES) if p.label == label)
        calls = [make(x, THREADS).run for x in sets]
    turn = itertools.cycle(calls)
    benchmark(lambda: next(turn)())
