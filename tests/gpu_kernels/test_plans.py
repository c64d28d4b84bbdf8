"""Compiled functions on a device: a Plan whose launches are recorded once and done again gives what eager calls give, to the bit where no pass changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.flow import branch
from accelnn.core.remote_call import rows_of
from accelnn.optim.lr_scheduler import StepLR
from accelnn.passes import STANDARD, device

from .test_training import cnn, lstm, transformer

BUILDS = [cnn, lstm, transformer]
functional = an.nn.functional


def trained(build: Callable[[], Any], mode: str, steps: int = 3) -> tuple[list[float], dict[str, np.ndarray], Any]:
    """Losses, parameters and the step, called plainly ("eager") or compiled with passes ("passes") or without ("exact")."""
    an.seed(0)
    np.random.seed(0)
    net, (x, labels) = build()
    net.to("emu")
    opt = an.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def step(inputs: Any, targets: Any) -> Any:
        opt.zero_grad()
        loss = functional.cross_entropy(net(inputs), targets)
        loss.backward()
        opt.step()
        return loss

    run: Any = step if mode == "eager" else an.compile(step, passes=() if mode == "exact" else STANDARD)
    losses = []
    for i in range(steps):
        losses.append(run(an.tensor(x * (1 + i), device="emu"), an.tensor(labels, device="emu")).item())
    return losses, net.state_dict(), run


@pytest.mark.parametrize("build", BUILDS)
def test_a_step_without_passes_has_the_bits_of_eager_calls(build: Callable[[], Any]) -> None:
    losses, state, _ = trained(build, "eager")
    found, after, step = trained(build, "exact")
    assert found == losses
    for name, value in state.items():
        assert np.array_equal(after[name], value, equal_nan=True), name
    (traced,) = step.traced.values()
    assert traced.device_plan.binding.launches > 20


@pytest.mark.parametrize("build", BUILDS)
def test_a_step_with_passes(build: Callable[[], Any]) -> None:
    losses, state, _ = trained(build, "eager")
    found, after, step = trained(build, "passes")
    assert np.allclose(found, losses, rtol=1e-5, atol=0), (found, losses)
    for name, value in state.items():
        assert np.allclose(after[name], value, rtol=0, atol=2e-4), (name, np.abs(after[name] - value).max())
    (traced,) = step.traced.values()
    ops = [call["op"] for call in traced.device_plan.calls]
    assert "pointwise" in ops and not {"conv2d_nhwc", "conv2d_pack", "matmul_pack", "recurrent_pack"} & set(ops)


def linear() -> Any:
    an.seed(1)
    np.random.seed(1)
    return an.nn.Sequential(an.nn.Linear(6, 5), an.nn.ReLU(), an.nn.Linear(5, 3)).to("emu")


def test_new_shapes_are_traced_again_and_results_last() -> None:
    net = linear()
    run = an.compile(net)
    rng = np.random.default_rng(0)
    with an.no_grad():
        xs = [an.tensor(rng.normal(size=(n, 6)).astype(np.float32), device="emu") for n in (2, 3, 2, 2)]
        ys = [run(x) for x in xs]
        for x, y in zip(xs, ys):
            assert y.device == "emu" and np.allclose(y.cpu().numpy(), net(x).cpu().numpy(), rtol=1e-6, atol=1e-6)
    assert len(run.traced) == 2
    assert len({y.view.address for y in ys}) == 4, "a result is not overwritten by the next call"


def test_an_input_that_was_written_is_read_again() -> None:
    run = an.compile(lambda a, b: a * 2.0 + b)
    x = an.tensor(np.ones(4, np.float32), device="emu")
    assert run(x, 1.0).tolist() == [3.0] * 4
    x.assign(np.full(4, 5.0, np.float32))
    assert run(x, 1.0).tolist() == [11.0] * 4
    assert run(x, 2.0).tolist() == [12.0] * 4, "numbers of the host follow"
    turned = an.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), device="emu")
    twice = an.compile(lambda a: a + a)
    assert twice(turned.T).tolist() == [[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]], "strides of any kind"


def test_states_are_written_where_they_lie() -> None:
    count, moved = an.tensor(np.zeros(3, np.float32), device="emu"), an.tensor(np.zeros(3, np.float32), device="emu")

    def step(x: Any) -> Any:
        before = count * 1.0
        count.assign(count + x)
        moved.assign(before)
        return before

    run = an.compile(step)
    place, version = count.view.address, count.view.version
    for i in range(3):
        assert run(an.tensor(np.full(3, 2.0, np.float32), device="emu")).tolist() == [2.0 * i] * 3
    assert count.tolist() == [6.0] * 3 and moved.tolist() == [4.0] * 3
    assert count.view.address == place and count.view.version == version + 3
    count.assign(np.full(3, 100.0, np.float32))
    assert run(an.tensor(np.zeros(3, np.float32), device="emu")).tolist() == [100.0] * 3
    count.view = an.tensor(np.full(3, 7.0, np.float32), device="emu").view      # as net.to() does
    assert run(an.tensor(np.ones(3, np.float32), device="emu")).tolist() == [7.0] * 3 and count.tolist() == [8.0] * 3


def test_random_numbers_go_on() -> None:
    def draw(x: Any) -> Any:
        return functional.dropout(x, 0.5)

    x = an.tensor(np.ones(64, np.float32), device="emu")
    an.seed(3)
    expected = [draw(x).tolist() for _ in range(3)]
    run = an.compile(draw)
    an.seed(3)
    found = [run(x).tolist() for _ in range(3)]
    assert found == expected and found[0] != found[1]


def test_a_device_counts_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it has been used before or not, and whatever the host has drawn."""
    monkeypatch.delitem(an.ops.random.positions, "emu", raising=False)
    found = []
    for _ in range(2):
        an.seed(5)
        an.ops.random.uniform(3)
        found.append(an.ops.random.uniform(4, device="emu").tolist())
    assert found[0] == found[1]


def test_a_schedule_is_part_of_the_step() -> None:
    def losses(compiled: bool) -> list[float]:
        net = linear()
        opt = an.optim.AdamW(net.parameters(), lr=0.1)
        scheduler = StepLR(opt, step_size=1, gamma=0.5)

        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            opt.step()
            scheduler.step()
            return loss

        run: Any = an.compile(step, passes=()) if compiled else step
        x = an.tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6), device="emu")
        return [*(run(x).item() for _ in range(3)), opt.lr]

    assert losses(True) == losses(False)


def test_weights_that_follow_from_others_are_computed_again() -> None:
    """A folded batch norm, outside of the Plan."""
    an.seed(0)
    np.random.seed(0)
    net = an.nn.Sequential(an.nn.Conv2d(2, 4, 3), an.nn.BatchNorm2d(4), an.nn.ReLU()).to("emu")
    net.eval()
    x = an.tensor(np.random.default_rng(5).normal(size=(2, 2, 6, 6)).astype(np.float32), device="emu")
    run = an.compile(net)
    with an.no_grad():
        for scale in (1.0, 3.0):
            net[1].weight.assign(np.full(4, scale, np.float32))
            assert np.allclose(run(x).cpu().numpy(), net(x).cpu().numpy(), rtol=1e-5, atol=1e-5)
    assert "batch_norm_infer" not in [c["op"] for c in run.plan(x).device_plan.calls]


def test_a_model_runs_where_its_inputs_are() -> None:
    net = linear()
    net.eval()
    x = np.random.default_rng(4).normal(size=(4, 6)).astype(np.float32)
    model = an.freeze(net, x)
    expected = model(x).numpy()
    on_device = model(an.tensor(x, device="emu"))
    assert on_device.device == "emu" and np.allclose(on_device.cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
    fewer = model.run({model.inputs[0][0]: an.tensor(x[:2], device="emu")})[model.outputs[0][0]]
    assert np.allclose(fewer.cpu().numpy(), expected[:2], rtol=1e-5, atol=1e-6)
    with pytest.raises(an.Error, match=r"float32\[N, 6\] expected, got float32\[2, 5\]"):
        model(an.ones(2, 5, device="emu"))


def test_what_lies_in_the_arena_between_runs_does_not_matter() -> None:
    net = linear()
    run = an.compile(net)
    x = an.tensor(np.random.default_rng(6).normal(size=(3, 6)).astype(np.float32), device="emu")
    with an.no_grad():
        first = run(x).tolist()
        binding = run.plan(x).device_plan.binding
        start = binding.nbytes - binding.arena
        binding.memory[binding.base - binding.memory.ctypes.data + start :][: binding.arena] = 0xFF
        assert run(x).tolist() == first


def test_the_arena_holds_what_lives_at_once() -> None:
    """A chain of products: two of its values live at a time, whatever its length; results and inputs have memory of their own."""
    weights = [an.tensor(np.eye(32, dtype=np.float32), device="emu") for _ in range(6)]

    def chain(x: Any) -> Any:
        for w in weights:
            x = x @ w
        return x

    run = an.compile(chain)
    with an.no_grad():
        run(an.ones(32, 32, device="emu"))
        assert run.plan(an.ones(32, 32, device="emu")).device_plan.arena == 2 * 4 * 32 * 32


def test_mixed_devices_are_refused() -> None:
    x = an.ones(2, 3, device="emu")
    with pytest.raises(an.Error, match=r"input 0 is float32\[2, 3\] on cpu, the Plan runs on emu; move it with \.to\('emu'\)"):
        an.compile(lambda a: a + x)(an.ones(2, 3))
    host = an.ones(2, 3)
    with pytest.raises(an.Error, match=r"runs on emu and reads float32\[2, 3\] on cpu; move one with \.to\('emu'\)"):
        an.compile(lambda a: a + host)(x)
    with pytest.raises(an.Error, match=r"assign: .* runs on emu and writes float32\[\] on cpu"):
        number = an.tensor(np.float32(1.0))
        an.compile(lambda a: number.assign(a.sum()))(x)
    one = an.tensor(np.float32(2.0))
    run = an.compile(lambda a: a * one)
    assert run(x).tolist() == [[2.0] * 3] * 2
    one.assign(np.float32(3.0))
    assert run(x).tolist() == [[3.0] * 3] * 2, "a number of the host is read when it has been written"
    assert an.compile(lambda a: x + a)(an.tensor(np.float32(1.0))).tolist() == [[2.0] * 3] * 2


def without_rows(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    monkeypatch.setattr(device, "rows_of", lambda name: () if name == kernel else rows_of(name))


def test_what_a_device_cannot_record_is_named_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    count = an.tensor(np.zeros(1, np.float32), device="emu")

    def counted(x: Any, f: Callable[[Any], Any]) -> Any:
        count.assign(count + 1.0)
        return f(x)

    def either(x: Any) -> Any:
        return branch((x.sum() > 0.0).to("bool"), lambda: [x * 2.0], lambda: [x])[0]

    with pytest.raises(an.Error, match="branch decides on the host how a Plan goes on, and one on emu is recorded whole"):
        an.compile(lambda x: counted(x, either))(an.ones(4, device="emu"))
    without_rows(monkeypatch, "cross_entropy")
    labels = an.tensor(np.zeros(2, np.int64), device="emu")
    with pytest.raises(an.Error, match=r"cross_entropy: no row of cross_entropy takes float32\[2, 3\], int64\[2\] on emu \(it has none for devices\)"):
        an.compile(lambda x: counted(x, lambda y: functional.cross_entropy(y, labels)))(an.ones(2, 3, device="emu"))
    assert count.tolist() == [0.0]


def test_an_op_without_a_row_is_its_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    x = an.tensor(np.random.default_rng(7).normal(size=(3, 5)).astype(np.float32), device="emu")
    gradient = an.grad(lambda a: (a.softmax(-1) ** 2).sum())
    expected = gradient(x).cpu().numpy()
    without_rows(monkeypatch, "softmax_grad")
    for passes in ((), STANDARD):
        run = an.compile(gradient, passes=passes)
        assert np.allclose(run(x).cpu().numpy(), expected, rtol=1e-5, atol=1e-7)
        ops = [c["op"] for c in run.plan(x).device_plan.calls]
        assert "softmax_grad" not in ops and "reduce" in ops


def test_a_parameter_that_is_moved_inside_is_refused() -> None:
    w = an.tensor(np.ones(3, np.float32), requires_grad=True)
    x = an.ones(3, device="emu")
    with pytest.raises(an.Error, match=r"which requires a gradient, in a traced function: no gradient would flow back"):
        an.compile(lambda a: a * w.to("emu"))(x)
    table = an.tensor(np.arange(3, dtype=np.float32))
    run = an.compile(lambda a: a * table.to("emu"))
    assert run(x).tolist() == [0.0, 1.0, 2.0]
    table.assign(np.full(3, 4.0, np.float32))
    assert run(x).tolist() == [4.0] * 3, "what was moved is moved again when it has been written"


def test_a_step_of_decoding_writes_its_rows_where_they_lie() -> None:
    rng = np.random.default_rng(9)
    rows = [rng.normal(size=(2, 2, 1, 16)).astype(np.float32) for _ in range(3)]

    def decoded(compiled: bool) -> tuple[list[np.ndarray], Any, Any]:
        cache = an.tensor(np.zeros((2, 2, 6, 16), np.float32), device="emu")

        def step(x: Any, position: Any) -> Any:
            kept = an.ops.cache_append(cache, x, position)
            return an.ops.attention_decode(x, kept, kept, lengths=position + 1)

        run: Any = an.compile(step, passes=()) if compiled else step
        with an.no_grad():
            found = [run(an.tensor(x, device="emu"), an.tensor(np.full(2, i, np.int64), device="emu")).cpu().numpy() for i, x in enumerate(rows)]
        return found, cache, run

    expected, cache, _ = decoded(False)
    found, other, run = decoded(True)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found)) and np.array_equal(cache.cpu().numpy(), other.cpu().numpy())
    (traced,) = run.traced.values()
    assert "copy" not in [c["op"] for c in traced.device_plan.calls], "the cache is written in place"


def test_a_failing_run_copies_its_inputs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = an.compile(lambda a: a * 2.0)
    x, y = an.ones(4, device="emu"), an.tensor(np.full(4, 3.0, np.float32), device="emu")
    run(x)
    recorded = run.plan(x).device_plan.binding.recorded

    def fail(*_: Any) -> None:
        raise an.Error("lost")

    with monkeypatch.context() as patched:
        patched.setattr(recorded, "run", fail)
        with pytest.raises(an.Error, match="lost"):
            run(y)
    assert run(y).tolist() == [6.0] * 4


def test_overlapping_states_are_refused() -> None:
    whole = an.tensor(np.zeros(8, np.float32), device="emu")
    part = whole[:4]

    def step(x: Any) -> Any:
        whole.assign(whole + 1.0)
        return part + x

    with pytest.raises(an.Error, match=r"float32\[4\] and float32\[8\], which the function reads, overlap, and it writes one of them"):
        an.compile(step)(an.ones(4, device="emu"))


class Lent(np.ndarray):
    writable = False


def test_memory_that_is_lent_is_not_written() -> None:
    lent, own = (an.tensor(np.zeros(4, np.float32), device="emu") for _ in range(2))
    lent.view.storage.owner = lent.view.storage.owner.view(Lent)
    assert an.compile(lambda x: own.assign(lent + x) + 0.0)(an.ones(4, device="emu")).tolist() == [1.0] * 4
    with pytest.raises(an.Error, match=r"the function writes float32\[4\], which is read-only"):
        an.compile(lambda x: lent.assign(lent + x) + 0.0)(an.ones(4, device="emu"))
    assert lent.tolist() == [0.0] * 4


def test_a_network_that_moves_is_traced_where_it_is() -> None:
    net = linear()
    run = an.compile(net)
    x = np.random.default_rng(8).normal(size=(3, 6)).astype(np.float32)
    with an.no_grad():
        there = run(an.tensor(x, device="emu")).cpu().numpy()
        for device in ("cpu", "emu", "cpu"):
            net.to(device)
            with pytest.raises(an.Error, match="move it with|runs on the host|on cpu"):
                run(an.tensor(x, device="emu" if device == "cpu" else "cpu"))
            assert np.allclose(run(an.tensor(x, device=device)).cpu().numpy(), there, rtol=1e-5, atol=1e-6)


def test_reports_are_the_hosts() -> None:
    model = an.freeze(linear(), np.ones((2, 6), np.float32))
    with pytest.raises(an.Error, match=r"reports are of runs on the host; an argument is float32\[2, 6\] on emu"):
        model.report(an.ones(2, 6, device="emu"))
