"""The fake driver: compiled once a session; what a test tells and asks it; and tests that run in a process of their own with it."""

from __future__ import annotations

import base64
import ctypes
import functools
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelnn import _C
from accelnn.deploy import toolchain

from ..conftest import _absent

ROOT = Path(__file__).resolve().parents[2]
cuda = _C.cuda


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="accelnn-fake-")


@functools.cache
def library(*defines: str) -> str:
    """Path of the fake: whole, FAKE_IS_OLD (a driver before CUDA 12.4) or FAKE_LACKS_GRAPHS."""
    compiler = toolchain.compiler()
    if compiler is None:
        _absent("no C++ compiler")
    assert compiler is not None
    path = Path(_folder().name, "_".join(("libcuda", *defines)) + ".so")
    toolchain.run([*compiler, "-std=c++17", "-O0", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror",
                   *(f"-D{d}" for d in defines), *toolchain.includes(ROOT), str(ROOT / "tests/cuda/fake_libcuda.cpp"), "-o", str(path)])  # fmt: skip
    return str(path)


@functools.cache
def _server() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "tests.cuda.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def apart(function: Callable[..., Any], *arguments: Any, env: dict[str, str] | None = None) -> Any:
    """function(*arguments) in a fresh process with the fake; its result (as JSON keeps it)."""
    server = _server()
    assert server.stdin and server.stdout
    request = {"module": function.__module__, "name": function.__name__, "env": env or {"ACCELNN_LIBCUDA": library()},
               "arguments": base64.b64encode(pickle.dumps(arguments)).decode()}  # fmt: skip
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer = json.loads(server.stdout.readline())
    assert answer["failed"] is None, answer["failed"]
    return answer["result"]


def forked(test: Callable[..., None]) -> Callable[..., None]:
    """A test that runs apart."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        apart(test, *args, *kwargs.values())

    return run


class Fake:
    """The library that this process has opened, or will."""

    def __init__(self) -> None:
        self.it = ctypes.CDLL(os.environ["ACCELNN_LIBCUDA"])
        self.it.fake_log.restype = ctypes.c_char_p
        self.it.fake_set.argtypes = [ctypes.c_char_p, ctypes.c_long]

    def set(self, **settings: int) -> None:
        """devices, arch, optin, version, memory, busy, quick."""
        for name, value in settings.items():
            self.it.fake_set(name.encode(), value)

    def fail(self, entry: str, nth: int = 1, code: int = 999) -> None:
        """The nth call of the entry point from now on answers `code`."""
        self.it.fake_fail(entry.encode(), nth, code)

    def lose(self, code: int = 719) -> None:
        """Everything that needs the device answers `code` from now on."""
        self.it.fake_lose(code)

    def calls(self, entry: str) -> int:
        return int(self.it.fake_calls(entry.encode()))

    def live(self) -> int:
        """Allocations, modules, streams, events and graphs that nobody gave back."""
        return int(self.it.fake_live())

    def log(self) -> list[str]:
        return str(self.it.fake_log().decode()).splitlines()

    def block(self, address: int) -> tuple[int, int] | None:
        """Where the allocation begins and ends in which an address lies."""
        begin, end = ctypes.c_ulonglong(), ctypes.c_ulonglong()
        found = self.it.fake_block(ctypes.c_ulonglong(address), ctypes.byref(begin), ctypes.byref(end))
        return (begin.value, end.value) if found else None

    def on_launch(self, run: Callable[[Any], None]) -> list[BaseException]:
        """From now on kernels run: `run` gets a Launched. -> what it raised, each of which loses the device."""
        raised: list[BaseException] = []

        def called(launched: Any) -> int:
            try:
                run(launched.contents)
            except BaseException as error:  # ctypes would print it and go on
                raised.append(error)
                return 719
            return 0

        self.called = ON_LAUNCH(called)  # ctypes does not keep it
        self.it.fake_on_launch(self.called)
        return raised


class Launched(ctypes.Structure):
    """Launched of fake_libcuda.cpp."""

    _fields_ = [("image", ctypes.c_void_p), ("image_bytes", ctypes.c_size_t), ("kernel", ctypes.c_char_p), ("grid", ctypes.c_uint * 3),
                ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint), ("parameters", ctypes.c_void_p), ("parameter_bytes", ctypes.c_size_t)]  # fmt: skip


ON_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Launched))
