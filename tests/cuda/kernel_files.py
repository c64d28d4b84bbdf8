"""Files of kernels for the fake driver: launches are found as `accelnn kernels compile` finds them, and their images hold nothing but parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from accelnn.core.kernel_file import Entry, write
from accelnn.core.kernel_files import name_of, source_of
from accelnn.core.recording import Launch, Question, Recording
from accelnn.emulation.specialize import specialize

from .cubin import cubin

BYTES = {"i1": 1, "u1": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "i64": 8, "u64": 8, "fp64": 8}


def launches(question: Question, arch: str = "sm_90") -> list[Launch]:
    device = Recording(arch)
    question.record(device)
    return device.launches


def made_file(path: Path, questions: Sequence[Question], source: str | None = None, shared: int = 4096, scratch: int = 0) -> list[Entry]:
    """A file for these calls on sm_90. source: in place of the true hash."""
    entries, images = [], {}
    for launch in (one for q in questions for one in launches(q)):
        name = name_of(launch.kernel)
        found = specialize(name, launch.kernel, launch.args, launch.constants)
        sizes = [8 if t.startswith("*") else BYTES.get(t, 4) for _, t in found.parameters]
        image = cubin({launch.kernel.__name__: ((*sizes, 8, 8), 0, 0)})
        digest = hashlib.sha256(image).hexdigest()
        images[digest] = image
        entries.append(Entry(name, source or source_of(launch.kernel), found.key(launch.warps, launch.stages), "sm_90", digest, launch.kernel.__name__,
                             launch.warps, shared, scratch, found.parameters))  # fmt: skip
    write(path, entries, images, {"triton": "none: made by hand"})
    return entries
