"""Compiling a @triton.jit function for a GPU that is not there, and what the result asks of that GPU: registers, spills, shared memory, instructions.
NVIDIA's disassemblers come with Triton."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from .arguments import Pointer

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
    from triton.compiler import ASTSource
    from triton.runtime.jit import JITFunction

    name = getattr(kernel, "__name__", str(kernel))
    if target not in TARGETS:
        raise ValueError(f"{name}: no target {target!r}; expected one of {', '.join(TARGETS)}")
    if not isinstance(kernel, JITFunction):
        raise TypeError(f"{name} is a {type(kernel).__name__}: expected a @triton.jit function, imported without TRITON_INTERPRET")
    chip = GPUTarget(*TARGETS[target])
    signature, folded, attrs = _specialize(name, kernel, args, constants, chip)
    done = triton.compile(ASTSource(kernel, signature, constexprs=folded, attrs=attrs), target=chip, options={"num_warps": warps, "num_stages": stages})
    image, text = ("hsaco", "amdgcn") if chip.backend == "hip" else ("cubin", "ptx")
    metadata = done.metadata._asdict()
    return Compiled(name, target, done.asm[image], done.asm[text], metadata["name"], tuple((n, t) for n, t in signature.items() if t != "constexpr"),
                    metadata["num_warps"], metadata["shared"], metadata)  # fmt: skip


def _specialize(
    name: str, kernel: Any, args: Sequence[Any], constants: Mapping[str, Any], chip: Any
) -> tuple[dict[str, str], dict[Any, Any], dict[Any, Any]]:
    """Types, constants and attributes of the parameters, as Triton's launcher would find them."""
    from triton._utils import canonicalize_ptr_dtype
    from triton.compiler import make_backend

    backend = make_backend(chip)
    run_time = [n for n in kernel.arg_names if n not in constants]
    unknown = sorted(set(constants) - set(kernel.arg_names))
    if unknown or len(args) != len(run_time):
        raise TypeError(f"{name}: got {len(args)} arguments and the constants {sorted(constants)}, expected arguments for {run_time}, no {unknown}")
    signature: dict[str, str] = {}
    folded: dict[Any, Any] = {}
    attrs: dict[Any, Any] = {}
    given = iter(args)
    for i, parameter in enumerate(kernel.params):
        value = constants[parameter.name] if parameter.name in constants else next(given)
        free = not getattr(parameter, "do_not_specialize", False)
        described = ""
        if parameter.name in constants or value is None or (free and type(value) is int and value == 1):
            signature[parameter.name], folded[(i,)] = "constexpr", value
            continue
        if isinstance(value, Pointer):
            signature[parameter.name] = canonicalize_ptr_dtype(value.dtype, False)
            # "S": 32 bits of offset are enough. The back end's own rule says the same, but imports torch to say it.
            described = ("D" if free and value.address % 16 == 0 else "") + ("S" if chip.backend == "hip" and value.nbytes < 2**31 else "")
        elif isinstance(value, bool):
            signature[parameter.name] = "u1"
        elif isinstance(value, int):
            signature[parameter.name] = "i32" if -(2**31) <= value < 2**31 else "i64" if value < 2**63 else "u64"
            described = backend.get_int_specialization(value, align=free)
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            raise TypeError(f"{name}: argument {parameter.name} is a {type(value).__name__}: expected Pointer, int, float, bool or None")
        if described:
            attrs[(i,)] = backend.parse_attr(described)
    return signature, folded, attrs


def _cuobjdump(image: bytes, option: str) -> str:
    import triton

    program = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as f:
        f.write(image)
        f.flush()
        done = subprocess.run([str(program), option, f.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program.name} {option}: {done.stderr.strip()}")
    return done.stdout
