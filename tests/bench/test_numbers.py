"""Medians and spreads, limits, and what counts as a change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from accelnn import _C
from accelnn.bench import ceilings
from accelnn.bench.compare import compare, lines
from accelnn.bench.device import CpuClock
from accelnn.bench.measure import Contestant, Pace, alternate
from accelnn.bench.stats import Spread, differs, geomean, quantile, ratios
from accelnn.core.errors import AttributeValueError

from .records import LIMITS, record, row


def test_quantiles_are_numpys() -> None:
    values = [3.0, 1.0, 2.0, 10.0, 7.0]
    for q in (0, 0.25, 0.5, 0.75, 1):
        assert quantile(values, q) == pytest.approx(np.quantile(values, q))
    found = Spread.of(values, least=0.5, calls=9)
    assert (found.median, found.q1, found.q3, found.min, found.calls) == (3.0, 2.0, 7.0, 0.5, 9)
    assert found.noise == pytest.approx(5 / 3) and Spread.read(found.json()) == found


def test_ratios_are_taken_block_by_block() -> None:
    slow_machine = [1.0, 1.0, 10.0]
    assert ratios([2 * s for s in slow_machine], slow_machine).median == 2.0
    assert ratios([2 * s for s in slow_machine], slow_machine).noise == 0.0


def test_a_difference_is_one_beyond_the_noise() -> None:
    assert [differs(r) for r in (1.0, 1.02, 0.98, 1.04, 0.96)] == [0, 0, 0, 1, -1]
    assert [differs(r, 0.1, 0.1) for r in (1.2, 1.25, 0.85, 0.8)] == [0, 1, 0, -1]


def test_geomean() -> None:
    assert geomean([2.0, 0.5]) == pytest.approx(1.0)
    assert math.isnan(geomean([]))


def test_regressions_are_found() -> None:
    before = record(row("1x1x1", 1e-3, 0.02), row("2x2x2", 1e-3, 0.02), row("3x3x3", 1e-3, 0.02), row("gone", 1e-3))
    after = record(row("1x1x1", 1.2e-3, 0.02), row("2x2x2", 1.05e-3, 0.02), row("3x3x3", 0.8e-3, 0.02), row("new", 1e-3))
    changes = compare(before, after)
    assert [(c.label, c.verdict) for c in changes] == [("1x1x1", -1), ("2x2x2", 0), ("3x3x3", 1)]
    text = "\n".join(lines(changes, old=before, new=after))
    assert "slower: matmul f32, 1x1x1" in text and "1.00 ms -> 1.20 ms" in text and "1 slower, 1 faster, 1 the same" in text


def test_noise_hides_what_it_can_explain() -> None:
    assert compare(record(row("1x1x1", 1e-3, 0.15)), record(row("1x1x1", 1.2e-3, 0.05)))[0].verdict == 0
    assert compare(record(row("1x1x1", 1e-3), fma_after=80e9), record(row("1x1x1", 1.2e-3)))[0].verdict == 0      # the machine itself moved by 20 %


def test_a_slower_machine_is_no_regression() -> None:
    same_share = compare(record(row("1x1x1", 1e-3)), record(row("1x1x1", 2e-3), fma=50e9, cpu="a slower CPU"))
    assert same_share[0].verdict == 0 and same_share[0].machine == 0.5
    hidden = compare(record(row("1x1x1", 1e-3)), record(row("1x1x1", 1e-3), fma=200e9))
    assert hidden[0].verdict == -1, "as slow as before on a machine that is twice as fast"
    assert any("Another machine" in text for text in lines(same_share, old=record(), new=record(cpu="x")))


def test_a_wrong_result_is_a_regression() -> None:
    wrong = row("1x1x1", 1e-3) | {"error": "[0, 0] is 1 instead of 2"}
    del wrong["time"]
    changes = compare(record(row("1x1x1", 1e-3)), record(wrong))
    assert changes[0].verdict == -1 and "instead of 2" in "\n".join(lines(changes))


def test_the_slower_of_arithmetic_and_bytes_binds() -> None:
    square = ceilings.binding(LIMITS, "fma", 2e9, 1e6, 3 << 20, 1)
    assert (square["kind"], square["name"], square["seconds"]) == ("fma", "FMA", 0.02)
    last = _C.machine()["l3"]                # 30 MiB here, 480 there
    vector = ceilings.binding(LIMITS, "fma", 2e6, 4e6, 2 * last, 1)
    assert vector["kind"] == "read DRAM" and vector["seconds"] == pytest.approx(4e6 / 25e9)
    copied = LIMITS | {"copy": {"name": "loads and stores", "rate": 20e9}}
    large, held = (ceilings.binding(copied, "copy", 2e6, 4e6, n, 1) for n in (2 * last, last - last // 8))
    assert large["kind"] == "copy" and large["seconds"] == pytest.approx(4e6 / 20e9) and held["kind"] == "read L3"
    assert ceilings.binding(LIMITS, "int8", 2e9, 1e6, 1 << 10, 1)["kind"] == "read L1", "a machine without the instruction has no such limit"


def test_levels_come_from_cache_sizes() -> None:
    held = ceilings.sizes(2)
    assert held["L2"] == 2 * _C.machine()["l2"]
    assert [ceilings.level_of(n, 2) for n in (1, held["L1"] + 1, held["L2"] + 1, held["L3"] + 1)] == ["L1", "L2", "L3", "DRAM"]


def test_ceilings_of_this_machine() -> None:
    fma, read = _C.ceiling("fma", 0, 2.0), _C.ceiling("read", 16384, 2.0)
    assert fma is not None and read is not None and fma[1] > 1e9 and read[1] > 1e9
    bits = _C.machine()["isa"]
    for kind, level in (("bf16", 8), ("int8", 1)):
        assert (_C.ceiling(kind, 0, 1.0) is not None) == bool(bits & level), kind
    copied = _C.ceiling("copy", 64 << 20, 2.0)
    assert copied is not None and 1e8 < copied[1] < 1e12
    # Beyond what arithmetic allows, the compiler has dropped the loop: 2 x 16 lanes x 2 instructions x 6 GHz are 384 G.
    assert fma[1] < 400e9
    for wrong in (("flops", 0), ("read", 0), ("read", 4097), ("fma", 4096)):
        with pytest.raises(AttributeValueError):
            _C.ceiling(*wrong)
    with pytest.raises(AttributeValueError):
        _C.ceiling("fma", 0, 1.0, 0)


def test_best_of_two_measurements() -> None:
    other = {**LIMITS, "fma": {"name": "AVX-512 FMA", "rate": 120e9}, "read": LIMITS["read"] | {"L1": 1e9}}
    both = ceilings.best([LIMITS, other])
    assert both["fma"]["rate"] == 120e9 and both["read"] == LIMITS["read"] and LIMITS["fma"]["rate"] == 100e9


def test_contestants_alternate() -> None:
    calls: list[str] = []
    first, second = (Contestant(n, n, [lambda n=n: calls.append(n)], []) for n in "ab")  # type: ignore[misc]
    ticks: list[str] = []
    alternate([first, second], CpuClock(), Pace(0.002, 4, 0.0), ticks.append)
    assert ticks == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert len(first.blocks) == len(second.blocks) == 4 and first.count > 10 and first.least <= first.spread().median < 1e-4
    chain = Contestant("chain", "chain", [lambda: sum(range(20000))], [], unit=10)
    whole = Contestant("whole", "whole", [lambda: sum(range(20000))], [])
    alternate([chain, whole], CpuClock(), Pace(0.01, 3, 0.0))
    assert 5 < whole.spread().median / chain.spread().median < 20, "a call that does ten units takes a tenth a unit"
