"""What is to be reached on an H100, and whether a record reaches it. A figure that was not measured is None, never met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Sequence[dict[str, Any]]
Value = Callable[[Rows, dict[str, Any]], float | None]


@dataclass(frozen=True)
class Answer:
    name: str
    wanted: float
    unit: str
    value: float | None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted

    @property
    def verdict(self) -> str:
        return {None: "not measured", True: "reach", False: "short"}[self.met]

    def json(self) -> dict[str, Any]:
        return {"name": self.name, "wanted": self.wanted, "at_most": self.at_most, "unit": self.unit, "value": self.value, "verdict": self.verdict}


@dataclass(frozen=True)
class Target:
    name: str
    wanted: float
    unit: str
    value: Value
    at_most: bool = False


def found(rows: Rows, work: str, shapes: Sequence[str]) -> list[dict[str, Any]] | None:
    """accelnn's lines for these shapes, None unless every one was timed."""
    by = {r["shape"]: r for r in rows if r["work"] == work and r["subject"] == "accelnn" and r.get("time")}
    return [by[s] for s in shapes] if all(s in by for s in shapes) else None


def against(work: str, *shapes: str, peer: str = "") -> Value:
    """The least ratio to a peer whose label begins so (of several, the fastest); without one, to the best of the same arithmetic."""

    def value(rows: Rows, record: dict[str, Any]) -> float | None:
        ratios = []
        for r in found(rows, work, shapes) or []:
            those = [p["ratio"]["median"] for label, p in r["peers"].items() if p["ratio"] and label.startswith(peer)] if peer else [r["ratio"]]
            ratios.append(min((x for x in those if x is not None), default=None))
        return min(ratios) if ratios and None not in ratios else None  # type: ignore[type-var]

    return value


def speed(work: str, *shapes: str, key: str = "flop_rate") -> Value:
    """The least rate, in TFLOP/s or TB/s."""

    def value(rows: Rows, record: dict[str, Any]) -> float | None:
        these = found(rows, work, shapes)
        return min(r[key] for r in these) / 1e12 if these else None

    return value



def _launch(rows: Rows, record: dict[str, Any]) -> float | None:
    cost = record.get("launch_seconds")
    return cost * 1e6 if cost is not None else None


GROUP = "8192x8192:group=128"
FEW, ANY = ("1", "16"), ("1", "16", "64", "256", "2048")
LONG = ("16384x4096", "1024x65536", "256x262144")
LARGE_CONV = "32x64x56x56:64x64x3x3:padding=1"

TARGETS = (
    Target("matmul bf16 4096^3, 8192^3", 0.95, "x", against("matmul_bf16", "4096x4096x4096", "8192x8192x8192", peer="torch.mm cuBLASLt")),
    Target("matmul bf16, few rows", 1.1, "x", against("matmul_bf16", "1x8192x8192", "16x8192x8192", "64x8192x8192", peer="torch.mm")),
    Target("attention forward bf16 hd128 causal 8k", 500, "TFLOP/s", speed("attention_bf16", "2x16x8192x128:causal")),
    Target("attention backward bf16 hd128 causal 8k", 400, "TFLOP/s", speed("attention_grad_bf16", "2x16x8192x128:causal")),
    Target("conv 3x3 C64 56x56 N32 bias bf16", 1.0, "x", against("conv2d_bf16", LARGE_CONV)),
    Target("conv 3x3 C64 56x56 N32 bias f32", 1.0, "x", against("conv2d", LARGE_CONV)),
    Target("W4A16 8192^2, M <= 16", 2.0, "x", against("matmul_int4", *(f"{m}x{GROUP}" for m in FEW), peer="torch.mm f16")),
    Target("W4A16 8192^2, every M", 1.0, "x", against("matmul_int4", *(f"{m}x{GROUP}" for m in ANY), peer="torch.mm f16")),
    *(Target(f"{op}, rows to 262144", 2.8, "TB/s", speed(op, *LONG, key="byte_rate")) for op in ("layer_norm", "rms_norm", "softmax")),
    Target("launch, host's part", 3.0, "us", _launch, at_most=True))  # fmt: skip


def judged(record: dict[str, Any], targets: Sequence[Target] = TARGETS) -> list[Answer]:
    """Every target, for a record of H100 or of anything else."""
    return [Answer(t.name, t.wanted, t.unit, t.value(record["rows"], record), t.at_most) for t in targets]
