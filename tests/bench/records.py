"""Records made by hand, for what reads them."""

from __future__ import annotations

from typing import Any

from accelnn.bench.ceilings import best
from accelnn.bench.stats import Spread

LIMITS = {"fma": {"name": "AVX-512 FMA", "rate": 100e9}, "read": {"L1": 200e9, "L2": 100e9, "L3": 80e9, "DRAM": 25e9},
          "read_4k": {"L1": 200e9, "L2": 100e9, "L3": 80e9, "DRAM": 18e9}}  # fmt: skip


def spread(median: float, noise: float = 0.0) -> dict[str, Any]:
    return Spread(median, median * (1 - noise / 2), median * (1 + noise / 2), median * (1 - noise), [median] * 5, 100).json()


def row(shape: str, median: float, noise: float = 0.0, **other: Any) -> dict[str, Any]:
    flops, peer = 2e6, {"library": "numpy", "time": spread(1e-3), "ratio": spread(1e-3 / median, noise)}
    return {"threads": 1, "group": "matmul f32", "work": "matmul", "op": "matmul", "dtype": "f32", "shape": shape, "label": shape,
            "key": f"matmul f32 | {shape}",
            "subject": "accelnn", "row": "matmul_f32_x86_avx512", "left_out": {}, "time": spread(median, noise), "flops": flops, "bytes": 1e5,
            "flop_rate": flops / median, "byte_rate": 1e5 / median, "working_set": 300000, "level": "L2", "sets": 3, "bound_by": "FMA", "bound_kind": "fma",
            "limit_rate": 100e9, "share": flops / 100e9 / median, "peers": {"np.matmul": peer}, "best": "np.matmul", "ratio": 1e-3 / median,
            "ratio_noise": noise} | other  # fmt: skip


def record(*rows: dict[str, Any], fma: float = 100e9, fma_after: float | None = None, cpu: str = "some CPU") -> dict[str, Any]:
    before, after = ({**LIMITS, "fma": {"name": "AVX-512 FMA", "rate": rate}} for rate in (fma, fma_after or fma))
    session = {"threads": 1, "ceilings": best([before, after]), "ceilings_before": before, "ceilings_after": after,
               "libraries": {"numpy": "2.4.6, OpenBLAS"}, "absent": {}}  # fmt: skip
    settings = {"block": 0.2, "rounds": 5, "gap": 0.1, "ceiling_ms": 30.0, "against": ["numpy"], "device": "cpu", "rows": False, "threads": [1]}
    return {"schema": "accelnn bench 1", "date": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "commit": "0123456789ab", "libraries": {"numpy": "2.4.6"},
            "machine": {"cpu": cpu, "isa": "vnni", "cores": 2, "l1": 32768, "l2": 1 << 20, "l3": 32 << 20, "system": "Linux"}, "sessions": [session],
            "settings": settings, "rows": list(rows)}  # fmt: skip
