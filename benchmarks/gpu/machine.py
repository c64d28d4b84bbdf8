"""What a machine must have for `make gpu`, which has no network: looked for before anything is started. And what a record says of the machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
from typing import Any

# Module -> what it is needed for. The distribution has the same name.
NEEDED = {"setuptools": "the build", "pybind11": "the build", "numpy": "accelnn", "safetensors": "accelnn", "rich": "accelnn", "triton": "GPU kernels",
          "pytest": "the tests"}  # fmt: skip
WANTED = {"torch": "the peers", "matplotlib": "the roofline"}
PROGRAMS = {"nvcc": "CUDA images of the build", "compute-sanitizer": "memory and race checks", "nvidia-smi": "clocks and temperatures in the record"}


def missing() -> list[str]:
    """What `make gpu` cannot do without, each with what to do about it."""
    found = [f"{name} ({what}) is not installed in {sys.executable}: there is no network here, so bring it along: python3 -m pip download --no-deps {name} "
             f"where there is one, unpack the wheel beside the checkout and name its folder in PYTHONPATH"
             for name, what in NEEDED.items() if importlib.util.find_spec(name) is None]  # fmt: skip
    if not any(shutil.which(name) for name in ("g++", "clang++")):
        found.append("no C++ compiler: g++ or clang++ is needed for the build")
    return found


def absent() -> list[str]:
    """What a part of it will be missing for."""
    modules = [f"{name}: not installed, so without {what}" for name, what in WANTED.items() if importlib.util.find_spec(name) is None]
    return modules + [f"{name}: not found, so without {what}" for name, what in PROGRAMS.items() if program(name) is None]


def program(name: str) -> str | None:
    """Its path; CUDA's own are often not on PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin:/usr/local/nvidia/bin")


def versions() -> dict[str, str | None]:
    """Of the packages; None: not installed."""
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in (*NEEDED, *WANTED):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def smi() -> dict[str, str | None]:
    """The driver's version, clocks and temperature, as nvidia-smi has them; None where it says nothing."""
    names = ("name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit", "temperature.gpu", "compute_mode")
    path = program("nvidia-smi")
    if path is None:
        return dict.fromkeys(names)
    done = subprocess.run([path, f"--query-gpu={','.join(names)}", "--format=csv,noheader"], capture_output=True, text=True, timeout=20)
    values = done.stdout.splitlines()[0].split(", ") if done.returncode == 0 and done.stdout.strip() else []
    return dict(zip(names, values)) if len(values) == len(names) else dict.fromkeys(names)


def main() -> None:
    """Prints it all as JSON: a step of its own, since a driver may hang."""
    from accelnn.bench import gpu
    from accelnn.core.remote import device_named

    found: dict[str, Any] = gpu.opened(device_named(sys.argv[1]), {"device": sys.argv[1]})
    found["machine"]["nvidia_smi"], found["versions"] = smi(), versions()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
