"""Cubins made of nothing but what a driver reads before it runs one: names, parameters, shared memory, limits."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def kernel_info(parameters: Sequence[int], threads: int = 0) -> bytes:
    """EIATTR records: KPARAM_INFO for each parameter (bytes), MAX_THREADS."""
    records, offset = [], 0
    for i, size in enumerate(parameters):
        align = min(size, 64)
        offset = -(-offset // align) * align
        records.append(struct.pack("<BBHIHHI", 4, 0x17, 12, 0, i, offset, size << 18 | 0x1F000))
        offset += size
    if threads:
        records.append(struct.pack("<BBHIII", 4, 0x05, 12, threads, 1, 1))
    return b"".join(reversed(records))       # as nvcc writes them: the last first


def cubin(kernels: dict[str, tuple[Sequence[int], int, int]], arch: int = 90) -> bytes:
    """{name: (bytes of each parameter, shared memory of its own, most threads or 0)}."""
    sections: list[tuple[str, int, bytes, int]] = []      # name, type, content, size
    for name, (parameters, shared, threads) in kernels.items():
        sections.append((f".text.{name}", 1, b"\0" * 128, 128))
        sections.append((f".nv.info.{name}", 0x70000000, kernel_info(parameters, threads), 0))
        if shared:
            sections.append((f".nv.shared.{name}", 8, b"", shared + (1024 if arch >= 90 else 0)))
    names, at = b"\0", 64
    body, headers = b"", b"\0" * 64
    for name, kind, content, size in [*sections, (".shstrtab", 3, b"", 0)]:
        where = len(names)
        names += name.encode() + b"\0"
        content = names if name == ".shstrtab" else content
        headers += struct.pack("<IIQQQQIIQQ", where, kind, 0, 0, at, size or len(content), 0, 0, 1, 0)
        body += content
        at += len(content)
    n = len(sections) + 2
    header = b"\x7fELF\x02\x01\x01\x41\x08" + b"\0" * 7 + struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, at, arch << 8, 64, 0, 0, 64, n, n - 1)
    return header + body + headers


KERNELS = {"scale": ((8, 4, 8, 4), 0, 0), "mapped": ((128, 8, 1), 4096, 256), "nothing": ((), 0, 0), "wide": ((8, 2, 2, 8, 8, 1), 0, 0)}
IMAGE = cubin(KERNELS)
PTX = b"""// made by hand
.version 8.0
.target sm_80
.address_size 64
.visible .entry scale(
  .param .u64 .ptr .align 1 scale_param_0,
  .param .u32 scale_param_1,
  .param .f64 scale_param_2,
  .param .f32 scale_param_3
)
{ ret; }
"""
