"""`accelnn doctor`: what accelnn found on this machine, and the one command that fixes what is missing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from .. import _C
from ..core.device import isa_level
from ..core.errors import Error
from ..deploy import link, toolchain as tc
from ..version import __version__
from .terminal import columns, paint

# Distribution, module, extra that brings it, what it is for.
OPTIONAL = (("torch", "torch", "torch", "drop-in layers, parity tests"), ("onnx", "onnx", "onnx", "reading and writing .onnx"),
            ("onnxruntime", "onnxruntime", "onnx", "a peer to compare with"), ("scikit-learn", "sklearn", "data", "data sets, metrics"),
            ("matplotlib", "matplotlib", "plot", "pictures"), ("ziglang", "ziglang", "cross", "static musl and cross builds"),
            ("triton", "triton", "cuda13", "GPU kernels"), ("cupy-cuda13x", "cupy", "cuda13", "GPU peer"), ("pytest", "pytest", "test", "the tests"))
GOOD, ABSENT, BAD = "ok", "absent", "problem"
MARK = {GOOD: ("ok", "good"), ABSENT: ("--", "dim"), BAD: ("!!", "bad")}


@dataclass(frozen=True)
class Finding:
    """One line. `absent` is something optional; `problem` is something that will not work."""

    name: str
    status: str
    value: str
    fix: str = ""      # one command


def processor() -> Iterator[Finding]:
    machine = _C.machine()
    yield Finding("cpu", GOOD, f"{machine['cpu']}, caches {machine['l1'] >> 10} KiB, {machine['l2'] >> 10} KiB, {machine['l3'] >> 20} MiB")
    names = [name for name, bits in machine["levels"].items() if name != "native" and machine["detected"] & bits == bits]
    cap = os.environ.get("ACCELNN_ISA")
    if machine["problem"]:
        yield Finding("instructions", BAD, machine["problem"], "unset ACCELNN_ISA" if "ACCELNN_ISA" in machine["problem"] else "unset ACCELNN_KERNEL")
    else:
        text = f"{isa_level()} in use, of {', '.join(names)}"
        yield Finding("instructions", GOOD, text + (f"; capped by ACCELNN_ISA={cap}" if cap else ""), "unset ACCELNN_ISA" if cap else "")
    asked = [f"{name}={os.environ[name]}" for name in ("ACCELNN_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ]
    cores = len(os.sched_getaffinity(0))
    yield Finding("threads", GOOD, f"{machine['threads']} of {cores} cores of this process" + (f"; {', '.join(asked)}" if asked else ""))
    if (forced := os.environ.get("ACCELNN_KERNEL")) and not machine["problem"]:
        yield Finding("forced kernels", GOOD, forced, "unset ACCELNN_KERNEL")


def building() -> Iterator[Finding]:
    cxx = tc.compiler()
    if cxx and shutil.which(cxx[0]):
        yield Finding("compiler", GOOD, f"{' '.join(cxx)}: {tc.compiler_version(cxx)}")
    else:
        what = f"CXX={os.environ['CXX']} is not there" if cxx else "none: programs are built from the prebuilt runner, for this machine only"
        yield Finding("compiler", BAD if cxx else ABSENT, what, "unset CXX" if cxx else "apt-get install g++")
    for name in ("libaccelnn.a", "runner"):
        path = link.LIB / name
        there = path.exists()
        yield Finding(name, GOOD if there else BAD, f"{path}, {path.stat().st_size >> 10} KiB" if there else f"{path} is missing",
                      "" if there else "make build" if (tc.source_root() / "setup.py").exists() else "pip install --force-reinstall accelnn")
    qemu = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    yield Finding("qemu-aarch64", GOOD if qemu else ABSENT, qemu or "runs what --target aarch64-linux built, here", "" if qemu else "apt-get install qemu-user")
    cache = link.cache_dir()
    size = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) if cache.exists() else 0
    yield Finding("cache", GOOD, f"{cache}, {size / 1e6:.1f} MB" if size else f"{cache}, empty", f"rm -r {cache}" if size else "")


def gpu() -> Iterator[Finding]:
    built = sum(_C.cuda_images.values())
    rebuild = "make build" if (tc.source_root() / "setup.py").exists() else "pip install --no-binary accelnn accelnn"
    try:
        nvcc = tc.find_nvcc()
    except SystemExit as reason:
        nvcc, problem = None, str(reason)
        yield Finding("nvcc", BAD, problem, "unset ACCELNN_CUDA")
    else:
        yield Finding("nvcc", GOOD if nvcc else ABSENT, str(nvcc or "the CUDA compiler, needed when accelnn itself is built"),
                      "" if nvcc else "pip install nvidia-cuda-nvcc")
    yield Finding("cuda", GOOD if built else ABSENT, f"built, {len(_C.cuda_images)} files of kernels, {built:,} bytes of GPU code" if built else "not built",
                  "" if built else f"ACCELNN_CUDA=1 {rebuild}")
    n, why = _C.cuda.available()
    library = os.environ.get("ACCELNN_LIBCUDA")
    if not n:       # a library that was asked for by name has to work
        yield Finding("gpu driver", BAD if library else ABSENT, why.removeprefix("cuda: "), "unset ACCELNN_LIBCUDA" if library else "")
        return
    yield Finding("gpu driver", GOOD, f"{library or 'libcuda.so.1'}, {n} device{'s' if n > 1 else ''}")
    for device in range(n):
        try:
            info = _C.cuda.device_info(device)
        except Error as error:
            yield Finding(f"gpu {device}", BAD, str(error), "nvidia-smi")
        else:
            yield Finding(f"gpu {device}", GOOD, f"{info['name']}, {info['arch']}, {info['units']} units, {info['memory'] >> 20:,} MiB, "
                                                 f"{info['shared'] >> 10} KiB shared memory a block, driver for CUDA {info['driver']}")


def packages() -> Iterator[Finding]:
    for distribution, module, extra, purpose in OPTIONAL:
        if find_spec(module) is None:       # looks, but does not import: torch alone takes a second
            yield Finding(distribution, ABSENT, purpose, f'pip install "accelnn[{extra}]"')
            continue
        try:
            yield Finding(distribution, GOOD, version(distribution))
        except PackageNotFoundError:
            yield Finding(distribution, GOOD, "there, version unknown")


def findings() -> dict[str, list[Finding]]:
    where = Path(__file__).resolve().parents[1]
    about = [Finding("accelnn", GOOD, f"{__version__} in {where}"), Finding("python", GOOD, f"{sys.version.split()[0]}, {sys.executable}"),
             Finding("numpy", GOOD, version("numpy"))]
    return {"accelnn": about, "machine": list(processor()), "building": list(building()), "gpu": list(gpu()), "packages": list(packages())}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("accelnn doctor", description=__doc__,
                                     epilog="Exit code: 0 well (what is only absent is optional); 1 something will not work; 2 wrong usage.")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    found = findings()
    sick = any(f.status == BAD for group in found.values() for f in group)
    if args.json:
        groups = {title: {f.name: {k: v for k, v in asdict(f).items() if k != "name"} for f in group} for title, group in found.items()}
        print(json.dumps({"healthy": not sick} | groups))
        return sick
    width = max(len(f.name) for group in found.values() for f in group)
    for title, group in found.items():
        print(paint(title, "bold"))
        lines = columns([(MARK[f.status][0], f.name.ljust(width), f.value + (f"   ->  {f.fix}" if f.fix else "")) for f in group])
        for f, line in zip(group, lines, strict=True):
            print(paint(line, "" if f.status == GOOD else MARK[f.status][1]))
    print("\nSomething will not work: see !! above." if sick else "\nAll that accelnn needs is here; -- is optional.")
    return sick
