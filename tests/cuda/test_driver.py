"""Opening the driver: when, from where, and what is said where it cannot be."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

from accelnn.core.errors import DeviceError

from .fake import Fake, apart, cuda, forked, library


def test_import_opens_nothing() -> None:
    """Neither import nor a Module alone: the driver is opened by the first question to a device."""
    code = "import accelnn\nfrom accelnn import _C\n_C.cuda.Module(b'.version 8.0')\nprint(open('/proc/self/maps').read())\nprint(_C.cuda.available())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"ACCELNN_LIBCUDA": "/nowhere/libcuda.so.1"})
    assert "libcuda" not in done.stdout.rpartition("(0, ")[0]
    assert "(0, 'cuda: ACCELNN_LIBCUDA=/nowhere/libcuda.so.1 cannot be opened: " in done.stdout


def _available() -> tuple[int, str]:
    first = cuda.available()
    assert first == cuda.available()
    if not first[0]:
        with pytest.raises(DeviceError):
            cuda.alloc(16)
    return first


def test_without_a_driver() -> None:
    n, why = apart(_available, env={"ACCELNN_LIBCUDA": "/nowhere/libcuda.so"})
    assert n == 0 and why.startswith("cuda: ACCELNN_LIBCUDA=/nowhere/libcuda.so cannot be opened: /nowhere/libcuda.so: cannot open shared object file")


def test_the_usual_places() -> None:
    """Without ACCELNN_LIBCUDA: a driver, or the places that were searched."""
    code = "from accelnn import _C; import json; print(json.dumps(_C.cuda.available()))"
    n, why = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}).stdout)
    assert n > 0 or why.startswith(("cuda: no NVIDIA driver: libcuda.so.1 is neither on the library path", "cuInit: ", "cuda: the driver is there"))


def test_a_library_that_lacks_an_entry_point() -> None:
    n, why = apart(_available, env={"ACCELNN_LIBCUDA": library("FAKE_LACKS_GRAPHS")})
    assert (n, why) == (0, "cuda: the driver's library has no cuGraphLaunch: a driver for CUDA 12.0 or newer is needed")


@forked
def test_no_device() -> None:
    Fake().set(devices=0)
    assert cuda.available() == (0, "cuda: the driver is there, but no device")
    with pytest.raises(DeviceError, match="device 0 asked for, of 0"):
        cuda.device_info()


@forked
def test_a_driver_that_does_not_start() -> None:
    Fake().fail("cuInit", code=3)
    assert cuda.available() == (0, "cuInit: CUDA_ERROR_NOT_INITIALIZED (3, the fake's words): the driver does not start; "
                                   "a process forked after CUDA was first used cannot use it")  # fmt: skip


@forked
def test_a_driver_that_cannot_count() -> None:
    Fake().fail("cuDeviceGetCount")
    assert cuda.available() == (0, "cuDeviceGetCount: CUDA_ERROR_UNKNOWN (999, the fake's words): after cuInit")


@forked
def test_a_driver_without_words() -> None:
    fake = Fake()
    fake.fail("cuInit", code=12345)          # a number that it does not know itself
    assert cuda.available() == (0, "cuInit: an unknown error (12345, no description): the driver does not start")


@forked
def test_what_a_device_is() -> None:
    Fake().set(arch=120, version=12040, memory=123 << 20, optin=101376)
    assert cuda.available() == (2, "")
    info = cuda.device_info(1)
    assert (info["name"], info["arch"], info["units"], info["shared"]) == ("Fake GPU 1", "sm_120", 132, 101376)
    assert (info["memory"], info["driver"]) == (123 << 20, "12.4")
    assert info["clusters"] and info["warp"] == 32 and info["shared_without_asking"] == 48 << 10
    for device in (-1, 2, 99):
        with pytest.raises(DeviceError, match=f"cuda: device {device} asked for, of 2"):
            cuda.device_info(device)


@forked
def test_whoever_had_another_device_keeps_it() -> None:
    fake = Fake()
    cuda.synchronize(device=0)
    mine = ctypes.c_void_p()
    fake.it.cuCtxGetCurrent(ctypes.byref(mine))
    address = cuda.alloc(64, device=1)
    now = ctypes.c_void_p()
    fake.it.cuCtxGetCurrent(ctypes.byref(now))
    assert now.value == mine.value is not None and fake.live() == 1
    fake.fail("cuCtxSetCurrent", 2)          # to the device, and back from it
    with pytest.raises(DeviceError, match="cuCtxSetCurrent: .*back from device 1"):
        cuda.free(address, device=1)


@forked
def test_a_device_that_failed_once_may_be_asked_again() -> None:
    fake = Fake()
    fake.fail("cuDevicePrimaryCtxRetain", code=2)
    with pytest.raises(MemoryError, match="cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY"):
        cuda.alloc(16)
    assert cuda.alloc(16)


def _doctor(asked: dict[str, int]) -> dict[str, dict[str, str]]:
    from accelnn.cli import doctor

    fake = Fake()
    fake.set(**asked)
    if asked.get("devices") == 1:
        fake.fail("cuDeviceTotalMem")
    return {f.name: {"status": f.status, "value": f.value} for f in doctor.gpu()}


def test_doctor_says_what_the_driver_answers() -> None:
    found = apart(_doctor, {"devices": 2})
    assert found["gpu driver"] == {"status": "ok", "value": f"{library()}, 2 devices"}
    assert found["gpu 1"]["value"] == "Fake GPU 1, sm_90, 132 units, 1,024 MiB, 227 KiB shared memory a block, driver for CUDA 13.0"
    sick = apart(_doctor, {"devices": 1})["gpu 0"]
    assert sick["status"] == "problem" and sick["value"].startswith("cuDeviceTotalMem: CUDA_ERROR_UNKNOWN")
    assert apart(_doctor, {"devices": 0})["gpu driver"] == {"status": "problem", "value": "the driver is there, but no device"}


def test_only_the_extension_names_the_launcher() -> None:
    """A program links what it names of libaccelnn.a: nothing outside runtime/cuda and the bindings names anything of it."""
    root = Path(__file__).resolve().parents[2]
    outside = [p for room in ("csrc", "kernels") for p in (root / room).rglob("*") if p.suffix in (".cpp", ".h", ".inc")
               and "runtime/cuda/" not in p.as_posix() and "bindings" not in p.parts]  # fmt: skip
    assert len(outside) > 100 and not [p for p in outside if "cuda::" in p.read_text() or '"cuda/' in p.read_text()]
