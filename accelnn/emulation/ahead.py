"""Compiling a @triton.jit function for a GPU that is not there, and what the result asks of that GPU: registers, spills, shared memory, instructions.
NVIDIA's disassemblers come with Triton."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from .specialize import specialize

TARGETS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "sm_100": ("cuda", 100, 32), "sm_120": ("cuda", 120, 32), "gfx942": ("hip", "gfx942", 64)}
# Shared memory that one block may have, with the opt-in where there is one: CUDA's programming guide, table of compute capabilities; CDNA 3 white paper.
SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "sm_100": 227 * 1024, "sm_120": 99 * 1024, "gfx942": 64 * 1024}
# `        /*0110*/              @!P0 HGMMA.64x128x16.F32 R24, ...`
SASS = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)", re.M)
GCN = re.compile(r"^\s+([vs]_\w+|ds_\w+|buffer_\w+|global_\w+|scratch_\w+|flat_\w+)\b", re.M)


@dataclass(frozen=True)
class Compiled:
    """One kernel for one target. image: cubin or hsaco; text: PTX or AMD assembly; parameters: the types of what a launch passes, in order (after them
    come two pointers to scratch memory, which may be null)."""

    kernel: str
    target: str
    image: bytes = field(repr=False)
    text: str = field(repr=False)
    entry: str
    parameters: tuple[tuple[str, str], ...]
    warps: int
    shared: int
    metadata: dict[str, Any] = field(repr=False)

    @cached_property
    def resources(self) -> dict[str, int]:
        """registers, stack (bytes) and spills of a thread. Spills: on NVIDIA instructions that store to or load from local memory, on AMD registers."""
        if self.target.startswith("gfx"):
            found = {k: int(v) for k, v in re.findall(r"\.((?:vgpr|sgpr|agpr)(?:_spill)?_count|private_segment_fixed_size):\s*(\d+)", self.text)}
            return {"registers": found["vgpr_count"], "stack": found["private_segment_fixed_size"],
                    "spills": found["vgpr_spill_count"] + found["sgpr_spill_count"]}  # fmt: skip
        usage = _cuobjdump(self.image, "-res-usage")
        found = {k: int(v) for k, v in re.findall(r"\b(REG|STACK):(\d+)", usage)}
        if not {"REG", "STACK"} <= set(found):
            raise RuntimeError(f"{self.kernel} for {self.target}: cuobjdump says nothing of its registers: {usage[:200]!r}")
        # Local memory lies on the stack. Disassembling takes 0.2 s, which a kernel without a stack need not pay.
        return {"registers": found["REG"], "stack": found["STACK"], "spills": self.count("STL") + self.count("LDL") if found["STACK"] else 0}

    @cached_property
    def instructions(self) -> Counter[str]:
        """How often each instruction stands in the machine code, by its name up to the first dot."""
        if self.target.startswith("gfx"):
            found = Counter(GCN.findall(self.text))
        else:
            found = Counter(SASS.findall(_cuobjdump(self.image, "-sass")))
        if not found:
            raise RuntimeError(f"{self.kernel} for {self.target}: the disassembler shows no instructions")
        return found

    def count(self, pattern: str) -> int:
        """Instructions of this name; a pattern may hold *: HGMMA, LDGSTS, v_mfma_*."""
        return sum(n for name, n in self.instructions.items() if fnmatchcase(name, pattern))


def compile(kernel: Any, args: Sequence[Any], constants: Mapping[str, Any], target: str, warps: int = 4, stages: int = 2) -> Compiled:
    """The kernel as a launch with these arguments would have it: ints that are 1 are folded, what is divisible by 16 is known to be, None is a constant.
    What the target lacks is the compiler's error, as it comes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, make_backend
    from triton.runtime.jit import JITFunction

    name = getattr(kernel, "__name__", str(kernel))
    if target not in TARGETS:
        raise ValueError(f"{name}: no target {target!r}; expected one of {', '.join(TARGETS)}")
    if not isinstance(kernel, JITFunction):
        raise TypeError(f"{name} is a {type(kernel).__name__}: expected a @triton.jit function, imported without TRITON_INTERPRET")
    chip = GPUTarget(*TARGETS[target])
    found = specialize(name, kernel, args, constants, chip.backend == "hip")
    backend = make_backend(chip)
    attrs = {(i,): backend.parse_attr(mark) for i, mark in found.marks.items()}
    source = ASTSource(kernel, found.types, constexprs={(i,): value for i, value in found.constants.items()}, attrs=attrs)
    done = triton.compile(source, target=chip, options={"num_warps": warps, "num_stages": stages})
    image, text = ("hsaco", "amdgcn") if chip.backend == "hip" else ("cubin", "ptx")
    metadata = done.metadata._asdict()
    return Compiled(name, target, done.asm[image], done.asm[text], metadata["name"], found.parameters, metadata["num_warps"], metadata["shared"], metadata)


def _cuobjdump(image: bytes, option: str) -> str:
    import triton

    program = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as f:
        f.write(image)
        f.flush()
        import subprocess  # importing accelnn does not bring it in

        done = subprocess.run([str(program), option, f.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program.name} {option}: {done.stderr.strip()}")
    return done.stdout
