"""The training loop on a net of two layers, its callbacks, and what happens when it goes wrong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.practice.callbacks import Callback, State
from accelnn.practice.data import Batches, Split
from accelnn.practice.report import Row, alternate, size_in_words, table, time_in_words
from accelnn.practice.train import Checkpoint, EarlyStopping, Progress, TrainingError, evaluate, fit, one_cycle


def blobs(n: int, seed: int) -> Split:
    """Three clouds of points in four dimensions."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return Split((3 * np.eye(4)[labels] + rng.normal(size=(n, 4))).astype(np.float32), labels)


def task(seed: int = 0) -> tuple[Any, Any, Batches, Split]:
    an.seed(seed)
    net = an.nn.Sequential(an.nn.Linear(4, 16), an.nn.ReLU(), an.nn.Dropout(0.1), an.nn.Linear(16, 3))
    return net, an.optim.AdamW(net.parameters(), lr=0.02), Batches(blobs(256, 1), 32), blobs(128, 2)


def test_it_learns_and_says_what_it_did() -> None:
    net, optimizer, train, valid = task()
    history = fit(net, optimizer, train, valid, epochs=6)
    assert [e.number for e in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1].valid_accuracy > 0.9 and history[-1].train_loss < history[0].train_loss / 2
    loss, accuracy, scores = evaluate(net, valid, an.nn.CrossEntropyLoss(), size=50)
    assert accuracy == history[-1].valid_accuracy and loss == pytest.approx(history[-1].valid_loss, rel=1e-5) and scores.shape == (128, 3)
    assert not net.training and optimizer.lr == pytest.approx(0.02), "what fit changed for its time is as it came"


def test_twice_the_same_bits() -> None:
    weights = []
    for _ in range(2):
        net, optimizer, train, valid = task()
        fit(net, optimizer, train, valid, epochs=2)
        weights.append(net.state_dict())
    assert all(np.array_equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_early_stopping_puts_the_best_weights_back() -> None:
    net, optimizer, train, valid = task()
    spoiled: list[int] = []

    class Spoil(Callback):
        """Ruins the net after the second epoch; validation sees that from the third on."""

        def on_epoch(self, state: State) -> None:
            if len(state.history) == 2:
                for p in net.parameters():
                    p.assign(an.tensor(np.full(p.shape, -5, np.float32)))
                spoiled.append(state.epoch)

    stopping = EarlyStopping(patience=2)
    history = fit(net, optimizer, train, valid, epochs=30, callbacks=[stopping, Spoil()], schedule=lambda _: 1e-6 if spoiled else 1.0)
    assert stopping.best is not None and len(history) < 30
    loss, _, _ = evaluate(net, valid, an.nn.CrossEntropyLoss())
    assert loss == pytest.approx(stopping.best.valid_loss, rel=1e-5) and loss == pytest.approx(min(e.valid_loss for e in history), rel=1e-5)


def test_checkpoint_is_whole(tmp_path: Path) -> None:
    net, optimizer, train, valid = task()
    fit(net, optimizer, train, valid, epochs=3, callbacks=[Checkpoint(tmp_path / "w.safetensors", every=3)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.safetensors"]
    other, *_ = task(seed=9)
    other.load(tmp_path / "w.safetensors")
    x = valid.images
    assert np.array_equal(other.eval()(an.tensor(x)).numpy(), net(an.tensor(x)).numpy())


def test_a_loss_that_explodes_stops_with_advice() -> None:
    net, optimizer, train, valid = task()
    optimizer.lr = 1e30
    ended = []

    class End(Callback):
        def on_end(self, state: State) -> None:
            ended.append(state.epoch)

    with pytest.raises(TrainingError, match="try a tenth of the peak rate"):
        fit(net, optimizer, train, valid, epochs=3, callbacks=[End()], schedule=lambda _: 1.0)
    assert len(ended) == 1 and not net.training, "callbacks end after an error too"


def test_progress_is_plain_lines_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    net, optimizer, train, valid = task()
    out = io.StringIO()
    fit(net, optimizer, train, valid, epochs=2, callbacks=[Progress(out)])
    assert [line.split(":")[0] for line in out.getvalue().splitlines()] == ["epoch   1/2", "epoch   2/2"]
    assert "\x1b" not in out.getvalue() and capsys.readouterr() == ("", "")


def test_schedule() -> None:
    shares = [one_cycle(i / 100) for i in range(101)]
    assert shares[0] == pytest.approx(0.04) and max(shares) == pytest.approx(1, abs=1e-3) and shares[100] == pytest.approx(0, abs=1e-9)
    assert all(a <= b for a, b in zip(shares[:10], shares[1:11])) and all(a >= b for a, b in zip(shares[10:], shares[11:]))


def test_table_and_timing() -> None:
    order: list[str] = []

    def block(name: str, value: float) -> Any:
        return lambda: order.append(name) or value

    assert alternate({"a": block("a", 1.0), "b": block("b", 2.0)}, rounds=3, idle=0) == {"a": 1.0, "b": 2.0}
    assert order == ["a", "b"] * 4, "one warm-up, then in turns"
    out = io.StringIO()
    table([Row("ours", "a network", 0.978, 44_123, 95.4, "libc"), Row("theirs", "the same", 0.978, 240_000, 1500.0, "much", ours=False)], 500, out)
    text = out.getvalue()
    assert "489 = 97.8%" in text and "44 KB" in text and "95 us" in text and "1.5 ms" in text and "\x1b" not in text
    assert (size_in_words(2_500_000), time_in_words(999)) == ("2.5 MB", "999 us")
