"""The one table of compiler flags, keyed by (room, file suffix). Standard library only: setup.py loads this file by path before accelnn can be
imported, and the binary builder uses the same flags for every other target, which is what makes their bits equal."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

COMMON = ["-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-ffunction-sections", "-fdata-sections",
          "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi", "-Wno-unknown-pragmas", "-Wno-pass-failed"]
# No exceptions, no RTTI, no guards, no unwind tables: nothing that would need libstdc++ in a stand-alone binary.
BARE = ["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]

ROOM_FLAGS = {
    "runtime": ["-Os", *BARE],
    "kernels": ["-O3", "-fno-trapping-math", *BARE],   # -O2 leaves the register tiles in memory: 49 instead of 116 GFLOP/s
    "shared": ["shared", *BARE],                          # loops around the bodies, and slow paths: one copy for all ISAs
    "contracts": ["-Os", *BARE],                       # a kernel folder's checks: once a call, and half as large as with -O2
    "engine": ["-Os", *BARE],                          # 30 instead of 61 KB in every program; LeNet-5's latency does not show it
    "deploy": ["-Os", *BARE],
    "bindings": ["-O2"],                               # the only room that may throw
}
# A file's suffix says what its code needs of the CPU; everything else is the baseline. The prefix of a kernel file's name is its target.
SUFFIX_FLAGS = {
    "x86_avx2": ["-mavx2", "-mfma", "-mf16c"],
    "x86_avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512"],
    "x86_avxvnni": ["-mavx2", "-mfma", "-mf16c", "-mavxvnni"],
    "x86_vnni": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512"],
    "x86_bf16": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512bf16", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512"],
    "arm_neon": ["-DACCELNN_NEON"],                    # every aarch64 has it; the name tells vec.h that this is not the base row, which rounds twice
    "arm_dotprod": ["-mcpu=generic+dotprod", "-DACCELNN_NEON"],
    "x86_amx": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-int8",
                "-mamx-bf16", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512"],
}
BODIES = {"base", "ref", *SUFFIX_FLAGS}                # the other files of a kernel folder hold contracts, or what rows share
BASELINE = {"x86_64": ["-march=x86-64-v2"], "aarch64": ["-mcpu=generic"]}
ZIG_BASELINE = {"x86_64": ["-mcpu=x86_64_v2"], "aarch64": ["-mcpu=generic"]}      # zig has names of its own


@dataclass(frozen=True)
class Source:
    """One translation unit: where it lies below the source root, the room it belongs to and the target its suffix names."""

    path: str
    room: str
    target: str  # base, x86_avx2, x86_avx512 ... (the namespace of the vector code in it)


@dataclass(frozen=True)
class Toolchain:
    """A C++ compiler and what it compiles for."""

    arch: str
    cxx: tuple[str, ...]
    baseline: tuple[str, ...]
    ar: tuple[str, ...] = ("ar",)
    link: tuple[str, ...] = ()
    small: str = "-Os"      # what -Os is called here, for code that runs once a call
    shared: str = "-O2"     # for the loops around the kernels' bodies: g++'s -Os makes an int8 LeNet-5 30 % slower, clang's -Oz 5 % faster


def machine() -> str:
    m = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(m, m)


def is_foreign(name: str, arch: str) -> bool:
    """Whether a target (x86_avx2) or a row (matmul_f32_arm_neon) is for another processor than `arch`."""
    return any(f"_{prefix}_" in f"_{name}" for prefix, own in (("x86", "x86_64"), ("arm", "aarch64")) if own != arch)


LIBRARY = ("runtime", "kernels", "engine", "deploy")     # deploy's main() is taken from the archive only by a program that has none of its own


def sources(root: Path, arch: str, rooms: tuple[str, ...] = LIBRARY) -> list[Source]:
    """Every C++ file of the rooms that can be compiled for `arch`, in a fixed order."""
    found = []
    for room in rooms:
        base = root / ("kernels" if room == "kernels" else f"csrc/{room}")
        for path in sorted(base.rglob("*.cpp")):
            stem = path.stem
            target = stem if stem in SUFFIX_FLAGS else "base"
            if is_foreign(target, arch):
                continue
            found.append(Source(path.relative_to(root).as_posix(), room, target))
    return found


def flags(source: Source, chain: Toolchain) -> list[str]:
    """Compiler flags of one file, without include paths."""
    stem = Path(source.path).stem
    room = source.room if source.room != "kernels" or stem in BODIES else "shared" if stem == "shared" else "contracts"
    chosen = [{"-Os": chain.small, "shared": chain.shared}.get(flag, flag) for flag in ROOM_FLAGS[room]]
    return [*COMMON, *chosen, *chain.baseline, *SUFFIX_FLAGS.get(source.target, []), f"-DACCELNN_TARGET={source.target}"]


def includes(root: Path) -> list[str]:
    return [f"-I{root / 'csrc/runtime'}", f"-I{root / 'csrc'}", f"-I{root / 'kernels'}"]


def source_root() -> Path:
    """The folder that holds csrc/ and kernels/: the package itself in a wheel, the checkout otherwise."""
    package = Path(__file__).resolve().parents[1]
    return package if (package / "csrc").is_dir() else package.parent


@cache
def compiler() -> tuple[str, ...] | None:
    """The system's C++ compiler: $CXX, then g++, clang++, c++."""
    if os.environ.get("CXX"):
        return tuple(shlex.split(os.environ["CXX"]))
    for name in ("g++", "clang++", "c++"):
        if path := shutil.which(name):
            return (path,)
    return None


def native() -> Toolchain | None:
    """The system's compiler for this machine; None where there is none."""
    cxx = compiler()
    # --as-needed: what uses nothing of libstdc++ or libm does not ask for it at run time either. noseparate-code: 8 KB less padding.
    return None if cxx is None else Toolchain(machine(), cxx, tuple(BASELINE.get(machine(), [])), link=("-Wl,--as-needed", "-Wl,-z,noseparate-code"))


@cache
def compiler_version(cxx: tuple[str, ...]) -> str:
    """First line of `cxx --version`; a new compiler makes every object stale."""
    try:
        return subprocess.run([*cxx, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def find_nvcc() -> Path | None:
    """nvcc in $CUDACXX, $CUDA_HOME, PATH, or the registry's wheels; None under ACCELNN_CUDA=0; an error under ACCELNN_CUDA=1 when missing."""
    wish = os.environ.get("ACCELNN_CUDA", "auto")
    if wish not in ("auto", "0", "1"):
        raise SystemExit(f"ACCELNN_CUDA={wish}: expected auto, 0 or 1")
    if wish == "0":
        return None
    places = [os.environ.get("CUDACXX"), os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin", "nvcc"), shutil.which("nvcc")]
    for entry in sys.path:
        places += sorted(str(p) for p in Path(entry or ".").glob("nvidia/*/bin/nvcc"))
    for place in places:
        if place and os.path.isfile(place) and os.access(place, os.X_OK):
            return Path(place)
    if wish == "1":
        raise SystemExit("ACCELNN_CUDA=1, but nvcc is neither in CUDACXX, CUDA_HOME, PATH nor in an installed nvidia-cuda-nvcc wheel")
    return None


def run(command: list[str]) -> None:
    """Runs a compiler or linker; a failure carries its whole output."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    if done.stderr:
        sys.stderr.write(done.stderr)


# A compile step is up to date while its command line is the one that made the object and no file named in its .d is newer than the object.
def _fresh(obj: Path, command: str) -> bool:
    try:
        made = obj.stat().st_mtime_ns
        if obj.with_suffix(".cmd").read_text() != command:
            return False
        rule = obj.with_suffix(".d").read_text().replace("\\\n", " ").split(":", 1)[1]
        return all(os.stat(name).st_mtime_ns < made for name in rule.split())
    except (OSError, IndexError):
        return False


def _compile(command: list[str], obj: Path, key: str) -> None:
    obj.parent.mkdir(parents=True, exist_ok=True)
    obj.with_suffix(".cmd").unlink(missing_ok=True)
    began = time.time_ns()
    run([*command, "-MMD", "-MF", str(obj.with_suffix(".d")), "-o", str(obj)])
    os.utime(obj, ns=(began, began))           # a source saved while it was being compiled counts as newer
    obj.with_suffix(".cmd").write_text(key)


def jobs() -> int:
    """Compilers at a time: $ACCELNN_JOBS, else the cores this process may use."""
    return int(os.environ.get("ACCELNN_JOBS") or len(os.sched_getaffinity(0)))


def compile_all(found: Iterable[Source], root: Path, out: Path, chain: Toolchain, extra: Mapping[str, list[str]] | None = None,
                failed: Callable[[Source, str], None] | None = None) -> tuple[list[Path], int]:
    """Objects of the sources, several at a time, only the stale ones; and how many were compiled. `extra`: flags by room.
    A failure raises, unless `failed` is there to take it: then the object is left out."""
    version, stale, objects = compiler_version(chain.cxx), [], []
    for source in found:
        obj = out / (source.path + ".o")
        command = [*chain.cxx, *flags(source, chain), *includes(root), *(extra or {}).get(source.room, []), "-c", str(root / source.path)]
        key = f"{version}\n{shlex.join(command)}\n"
        objects.append(obj)
        if not _fresh(obj, key):
            stale.append((source, command, obj, key))
    # Longest first, so that no core ends with the wide kernels alone: those of 512 bits unroll most.
    stale.sort(key=lambda job: (job[0].room != "kernels", job[0].target == "base", -(root / job[0].path).stat().st_size))
    with ThreadPoolExecutor(jobs()) as pool:
        running = [(source, obj, pool.submit(_compile, command, obj, key)) for source, command, obj, key in stale]
        for source, obj, result in running:
            try:
                result.result()
            except RuntimeError as error:
                if failed is None:
                    pool.shutdown(cancel_futures=True)
                    raise
                objects.remove(obj)
                failed(source, str(error))
    return objects, len(stale)


def archive(objects: Iterable[Path], path: Path, ar: tuple[str, ...] = ("ar",)) -> None:
    """A static library with its index, the same bytes for the same objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    run([*ar, "rcsD", str(path), *map(str, objects)])


def digest(found: Iterable[Source], root: Path, chain: Toolchain) -> str:
    """Names a compiled library by what went into it: the bytes of every source and header of csrc and kernels, the compiler and the flags."""
    h = hashlib.sha256(compiler_version(chain.cxx).encode())
    for path in sorted(p for room in ("csrc", "kernels") for p in (root / room).rglob("*") if p.suffix in (".cpp", ".h", ".inc")):
        h.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    for source in found:
        h.update(repr((source, flags(source, chain))).encode())
    return h.hexdigest()[:20]


# GPUs whose own code a release holds; later and other ones compile its PTX, which asks for no more than Ampere has. While developing one is enough:
# every kernel takes 0.5 s a chip. -fmad=false: a product is rounded before it is added unless the source says fmaf, as everywhere here; fused by the
# compiler, lanes of a warp that add the same two sums would get different bits.
CUDA_ARCHS, CUDA_PORTABLE = ("80", "86", "89", "90a", "120"), "80"
CUDA_FLAGS = ["-std=c++17", "-O3", "-fmad=false", "-Werror=all-warnings"]


def cuda_archs(release: bool) -> tuple[str, ...]:
    """$ACCELNN_CUDA_ARCHS ("all", or a list: 80,90a), else all for a release and CUDA_PORTABLE alone while developing."""
    wish = os.environ.get("ACCELNN_CUDA_ARCHS") or ("all" if release else CUDA_PORTABLE)
    chosen = CUDA_ARCHS if wish == "all" else tuple(wish.split(","))
    if unknown := sorted(set(chosen) - set(CUDA_ARCHS)):
        raise SystemExit(f"ACCELNN_CUDA_ARCHS={wish}: no architecture {', '.join(unknown)}; expected all, or some of {','.join(CUDA_ARCHS)}")
    return chosen


def cuda_sources(root: Path) -> dict[str, Path]:
    """Every kernels/<family>/cuda_*.cu by the name of its image: "softmax/cuda_softmax"."""
    return {f"{p.parent.name}/{p.stem}": p for p in sorted((root / "kernels").glob("*/cuda_*.cu"))}


def compile_images(root: Path, out: Path, nvcc: Path, archs: Iterable[str]) -> tuple[dict[str, Path], int]:
    """A fat binary for every source, with code for `archs` and PTX, only the stale ones; and how many were compiled."""
    codes = [*(f"-gencode=arch=compute_{a},code=sm_{a}" for a in archs), f"-gencode=arch=compute_{CUDA_PORTABLE},code=compute_{CUDA_PORTABLE}"]
    if len(codes) > 2:
        codes.append("--compress-mode=size")     # a third of the size, and half a second more a file
    version, stale, images = compiler_version((str(nvcc),)), [], {}
    for name, source in cuda_sources(root).items():
        image = images[name] = out / f"kernels/{name}.cu.fatbin"
        command = [str(nvcc), *CUDA_FLAGS, *codes, *includes(root), "-fatbin", str(source)]
        key = f"{version}\n{shlex.join(command)}\n"
        if not _fresh(image, key):
            stale.append((command, image, key))
    with ThreadPoolExecutor(jobs()) as pool:
        for _ in pool.map(lambda job: _compile(*job), stale):
            pass
    return images, len(stale)


def image_list(images: Mapping[str, Path]) -> str:
    """Assembly of runtime/cuda_image.h: every image in a section of its own, `accelnn_cuda_<family>_<file>_begin` to `_end`, and the list of all."""
    symbols = {name: f"accelnn_cuda_{name.replace('/', '_')}" for name in images}
    parts = [incbin(f"{symbols[name]}_begin", f"{symbols[name]}_end", path) for name, path in images.items()]
    lines = ['.section .data.rel.ro.accelnn_cuda_images,"aw",%progbits', ".global accelnn_cuda_images", ".balign 8", "accelnn_cuda_images:"]
    lines += [f".quad {s}_name, {s}_begin, {s}_end" for s in symbols.values()] + [".quad 0, 0, 0", '.section .rodata.accelnn_cuda_names,"a",%progbits']
    lines += [f'{s}_name: .asciz "{name}"' for name, s in symbols.items()]
    return "\n".join([*parts, *lines, ""])


def incbin(begin: str, end: str, path: Path | None) -> str:
    """Assembly that holds a file's bytes between two symbols, at a multiple of 64 (a C array of them takes minutes to compile)."""
    content = f'.incbin "{path}"' if path else ""
    return f""".section .rodata.{begin},"a",%progbits
.global {begin}
.global {end}
.balign 64
{begin}: {content}
{end}:
.section .note.GNU-stack,"",%progbits
"""
