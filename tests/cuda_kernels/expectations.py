"""kernels/<family>/cuda_expect.json: what each entry of its cuda_*.cu may take on each architecture once nvcc has compiled it.

    "softmax_warp_4": {"80": {"registers": 24, "spills": 0, "shared": 0, "code": 1024, "needs": {}}, ...}

registers, spills (bytes), shared: the most. code: the least bytes of machine code, half of what was measured: a kernel whose body is compiled for other
chips alone is empty, and takes no error to be so. needs: instructions that must be there, at least so many.

    python -m tests.cuda_kernels.expectations softmax       writes the table of a family anew, registers rounded up to a multiple of 8: read it"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from accelnn.deploy import toolchain

ROOT = Path(__file__).resolve().parents[2]
# Instructions worth asking for, by the lowest 12 bits of their 128: tensor cores, copies that run beside the arithmetic, loads of matrices.
TELLING = {0x23C: "HMMA", 0xFAE: "LDGSTS", 0x83B: "LDSM"}
USED = re.compile(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)", re.S)


def compiled(path: Path, arch: str, *defines: str) -> dict[str, dict[str, Any]]:
    """What ptxas says of every entry, and what lies in the machine code."""
    nvcc = toolchain.find_nvcc()
    assert nvcc is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        command = [str(nvcc), *toolchain.CUDA_FLAGS, *toolchain.includes(ROOT), *defines, f"-arch=sm_{arch}", "-cubin", "-Xptxas", "-v", "-o", cubin.name,
                   str(path)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        code = machine_code(Path(cubin.name).read_bytes())
    found = {}
    for entry, stores, loads, registers, rest in USED.findall(done.stdout + done.stderr):
        shared = re.search(r"(\d+) bytes smem", rest)
        words = Counter(TELLING[n] for n in opcodes(code[entry]) if n in TELLING)
        found[entry] = {"registers": int(registers), "spills": int(stores) + int(loads), "shared": int(shared[1]) if shared else 0, "code": len(code[entry]),
                        "needs": dict(sorted(words.items()))}  # fmt: skip
    return found


def machine_code(cubin: bytes) -> dict[str, bytes]:
    """The sections .text.<entry> of an ELF file."""
    start, size, n, names = *struct.unpack_from("<Q", cubin, 40), *struct.unpack_from("<HHH", cubin, 58)
    heads = [struct.unpack_from("<IIQQQQ", cubin, start + i * size) for i in range(n)]
    table = heads[names][4]
    found = {}
    for name, _, _, _, offset, length in heads:
        text = cubin[table + name : cubin.index(b"\0", table + name)].decode()
        if text.startswith(".text."):
            found[text.removeprefix(".text.")] = cubin[offset : offset + length]
    return found


def opcodes(code: bytes) -> list[int]:
    return [low & 0xFFF for low in struct.unpack(f"<{len(code) // 8}Q", code)[::2]]


def complaints(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    wrong = [f"{n} {found[n]}, at most {expected[n]} are allowed" for n in ("registers", "spills", "shared") if found[n] > expected[n]]
    if found["code"] < expected["code"]:
        wrong.append(f"{found['code']} bytes of code, at least {expected['code']} are expected")
    return wrong + [f"{found['needs'].get(n, 0)} instructions {n}, at least {least} are needed" for n, least in expected["needs"].items()
                    if found["needs"].get(n, 0) < least]  # fmt: skip


def table_of(image: str) -> Path:
    return ROOT / "kernels" / image.split("/")[0] / "cuda_expect.json"


def main(families: list[str]) -> None:
    for family in families:
        table: dict[str, dict[str, Any]] = {}
        for image, path in toolchain.cuda_sources(ROOT).items():
            if image.split("/")[0] == family:
                for arch in toolchain.CUDA_ARCHS:
                    for entry, found in compiled(path, arch).items():
                        allowed = {**found, "registers": -(-found["registers"] // 8) * 8, "code": found["code"] // 2, "needs": {n: 1 for n in found["needs"]}}
                        table.setdefault(entry, {})[arch] = allowed
        rows = [f'  "{e}": {{\n' + ",\n".join(f'    "{a}": {json.dumps(x)}' for a, x in some.items()) + "\n  }" for e, some in sorted(table.items())]
        table_of(f"{family}/").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
