"""Devices that run the kernels of cuda_*.cu without a GPU: their source on fibers (simt.h), under six schedules and sanitizers, or what nvcc makes of it
on the emulator of PTX."""

from __future__ import annotations

import functools
import os
import struct
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelnn.core.cuda_rows import ImageLaunch
from accelnn.core.remote import Remote, Storage
from accelnn.deploy import toolchain
from accelnn.emulation.arguments import Pointer
from accelnn.emulation.ptx.parser import parse
from accelnn.emulation.ptx.run import Arguments, execute, filled, forget, mark_fresh, parameter_bytes

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function"]


class Fault(AssertionError):
    """What a run on fibers found."""


def source(image: str) -> Path:
    return toolchain.cuda_sources(ROOT)[image]


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="accelnn-simt-")


def _compiler(warnings: list[str] = WARNINGS) -> list[str]:
    return [*(toolchain.compiler() or ("g++",)), "-std=c++17", "-ffp-contract=off", *SANITIZED, *warnings]


@functools.cache
def _part(name: str) -> Path:
    made = Path(_folder().name, f"{name}.o")
    toolchain.run([*_compiler(), "-c", str(HERE / f"{name}.cpp"), "-o", str(made)])
    return made


@functools.cache
def built(path: Path, key: str = "") -> Path:
    """A server of the kernels in a CUDA source. key: names a changed copy of it."""
    made = Path(_folder().name, f"{path.parent.name}_{path.stem}{key}")
    warnings = ["-w"] if key else WARNINGS
    toolchain.run([*_compiler(warnings), *toolchain.includes(ROOT), "-include", str(HERE / "simt.h"), "-x", "c++", "-c", str(path), "-o",
                   f"{made}.o"])  # fmt: skip
    toolchain.run([*_compiler(), f"{made}.o", *(str(_part(n)) for n in ("simt", "server")), "-o", str(made)])
    return made


class Server:
    """A process that runs kernels; a new one when the last has ended on a fault."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: bytes, sizes: Sequence[int]) -> list[bytes]:
        if self.process is None:
            self.log = Path(f"{self.program}.log")
            environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}
            with self.log.open("wb") as log:
                self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
        except BrokenPipeError:
            self._fault()
        head = self.process.stdout.read(4)
        if len(head) < 4:
            self._fault()
        (length,) = struct.unpack("<i", head)
        if length:
            raise Fault(self.process.stdout.read(length).decode())
        return [self.process.stdout.read(n) for n in sizes]

    def _fault(self) -> None:
        assert self.process
        self.process.wait()
        self.process = None
        raise Fault(self.log.read_text(errors="replace")[:2000])


@functools.cache
def server(path: Path, key: str = "") -> Server:
    return Server(built(path, key))


class Host:
    """See core.remote.Device: memory of this process, in which anything stands until it is written."""

    arch, units, shared, name = "sm_80", 4, 166912, "test"

    def __init__(self, sources: dict[str, tuple[Path, str]] | None = None) -> None:
        self.sources = sources or {}  # image -> a changed copy of its source, and a name for it
        self.launches: list[ImageLaunch] = []

    def allocate(self, nbytes: int) -> np.ndarray:
        owner = np.full(max(nbytes, 1) + 256, 0xFF, np.uint8)
        address = self.address(owner)
        mark_fresh(address, max(nbytes, 1))
        weakref.finalize(owner, forget, address)
        return owner

    def address(self, owner: np.ndarray) -> int:
        return -(-owner.ctypes.data // 256) * 256

    def bytes_of(self, storage: Storage) -> np.ndarray:
        start = storage.address - storage.owner.ctypes.data
        return storage.owner[start : start + storage.nbytes]  # type: ignore[no-any-return]

    def upload(self, storage: Storage, data: np.ndarray) -> None:
        self.bytes_of(storage)[: data.size] = data
        filled(storage.address, data.size)

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        return self.bytes_of(storage)[offset : offset + nbytes].copy()

    def synchronize(self) -> None: ...

    def launch(self, *_: Any) -> None:
        raise AssertionError("a Triton row was asked")

    def launch_image(self, launch: ImageLaunch, memory: Sequence[Remote]) -> None:
        self.launches.append(launch)
        path, key = self.sources.get(launch.image) or (source(launch.image), "")
        storages = list({v.storage.address: v.storage for v in memory}.values())
        addresses = struct.unpack_from(f"<{launch.pointers}Q", launch.arguments)
        places = []
        for address in addresses:
            found = [i for i, s in enumerate(storages) if s.address <= address < s.address + max(s.nbytes, 1)]
            assert found or not address, f"{launch.entry}: {address:#x} is in no operand"
            places.append((found[0], address - storages[found[0]].address) if found else (-1, 0))
        self.run(launch, storages, places, path, key)

    def run(self, launch: ImageLaunch, storages: list[Storage], places: list[tuple[int, int]], path: Path, key: str) -> None:
        raise NotImplementedError


class Fibers(Host):
    name = "fibers"

    def run(self, launch: ImageLaunch, storages: list[Storage], places: list[tuple[int, int]], path: Path, key: str) -> None:
        request = [struct.pack("<i", len(storages))]
        for s in storages:
            request += [struct.pack("<q", s.nbytes), self.bytes_of(s).tobytes()]
        entry = launch.entry.encode()
        request += [struct.pack("<ii", 1, len(entry)), entry, struct.pack("<qqqiii", *launch.grid, launch.threads, launch.shared, len(launch.arguments)),
                    launch.arguments, struct.pack("<i", len(places)), *(struct.pack("<iq", *p) for p in places)]  # fmt: skip
        for s, data in zip(storages, server(path, key).ask(b"".join(request), [s.nbytes for s in storages])):
            self.bytes_of(s)[:] = np.frombuffer(data, np.uint8)
            filled(s.address, s.nbytes)


@functools.cache
def ptx(path: Path, target: str = "compute_80") -> str:
    nvcc = toolchain.find_nvcc()
    assert nvcc is not None
    done = subprocess.run([str(nvcc), *toolchain.CUDA_FLAGS, *toolchain.includes(ROOT), f"-arch={target}", "-ptx", "-o", "-", str(path)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class Emulated(Host):
    name = "emulated"
    seed: int | None = None

    def run(self, launch: ImageLaunch, storages: list[Storage], places: list[tuple[int, int]], path: Path, key: str) -> None:
        kernel = parse(ptx(path))[launch.entry]
        pointers = [Pointer(s.address, "uint8", s.nbytes, s.owner) for s in storages]
        memory = Arguments(pointers, kernel.constants)
        memory.seal()
        arguments = bytearray(launch.arguments)
        for i, (piece, offset) in enumerate(places):
            struct.pack_into("<Q", arguments, 8 * i, memory.place(pointers[piece]) + offset if piece >= 0 else 0)
        given = parameter_bytes(kernel, [np.frombuffer(bytes(arguments), np.uint8)])
        try:
            execute(kernel, memory.heap, launch.grid, (launch.threads, 1, 1), given, launch.shared, self.seed)
        finally:
            memory.back()
