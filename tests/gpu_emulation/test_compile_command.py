"""`accelnn kernels compile`, whole: compiled where Triton is, launched where it is not, on a driver that reads the cubins and checks."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .mode import need_compiler

need_compiler()

import triton  # noqa: E402

from accelnn.cli import main  # noqa: E402
from accelnn.core.kernel_file import KernelFile  # noqa: E402
from accelnn.emulation.specialize import SHORT  # noqa: E402

from ..cuda.fake import library  # noqa: E402
from .expectations import ROOT  # noqa: E402
from .recording import kinds  # noqa: E402

STEP = """
import numpy as np
import accelnn as an

def step(device):
    net = an.nn.Sequential(an.nn.Linear(64, 32), an.nn.GELU(), an.nn.Linear(32, 10)).to(device)
    opt = an.optim.SGD(net.parameters(), lr=0.1)
    x = an.tensor(np.ones((8, 64), np.float32), device=device)
    labels = an.tensor(np.zeros(8, np.int64), device=device)
    loss = an.nn.functional.cross_entropy(net(x), labels)
    loss.backward()
    opt.step()
"""
# What runs it: no triton, and nothing of its kind to be found by others.
RUN = """
import importlib.util, sys
sys.modules["triton"] = None
from tests.cuda.fake import Fake
fake = Fake()
fake.set(arch=int(sys.argv[1]))
import accelnn as an
import net
net.step("cuda")
net.step("cuda")
assert sys.modules["triton"] is None and "triton.language" not in sys.modules
print("\\n".join(line for line in fake.log() if line.startswith("launch")))
"""


def apart(code: str, *args: str, **env: str) -> bytes:
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_launches_have_the_same_names_with_and_without_triton() -> None:
    without = pickle.loads(apart("import sys, pickle; sys.modules['triton'] = None; from tests.gpu_emulation.recording import kinds; "
                                 "sys.stdout.buffer.write(pickle.dumps(kinds()))"))  # fmt: skip
    here = kinds()
    assert len(here) > 2000 and without == here


def test_types_are_called_what_triton_calls_them() -> None:
    from triton._utils import canonicalize_dtype

    assert {name: canonicalize_dtype(name) for name in SHORT} == SHORT


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "net.py").write_text(STEP)
    assert main(["kernels", "compile", "--arch", "sm_90,sm_80", "--run", f"{folder / 'net.py'}:step", "-o", str(folder / "k.zip"), "--json"]) == 0
    return folder


@pytest.mark.parametrize("arch", [90, 80, 86])
def test_a_training_step_runs_without_triton(compiled: Path, arch: int) -> None:
    """What was compiled for sm_80 runs on sm_86 too, where no row cuts its kernels by the chip's size."""
    env = {"ACCELNN_LIBCUDA": library(), "ACCELNN_KERNELS": str(compiled / "k.zip"), "PYTHONPATH": f"{compiled}:{os.environ.get('PYTHONPATH', '')}"}
    said = apart(RUN, str(arch), **env).decode().splitlines()
    launched = [line.split()[1] for line in said]
    assert launched[: len(launched) // 2] == launched[len(launched) // 2 :] and {"product", "pointwise_kernel"} <= set(launched), launched


def test_what_the_file_has_is_what_triton_made(compiled: Path) -> None:
    file = KernelFile(compiled / "k.zip")
    assert file.made_by["triton"] == triton.__version__ and {e.target for e in file.entries} == {"sm_80", "sm_90"}
    assert len({e.image for e in file.entries}) <= len(file.entries)
    for entry in file.entries:
        image = file.image(entry)
        assert image[:4] == b"\x7fELF" and entry.entry.encode() in image


def test_what_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "k.zip"
    (tmp_path / "calls.json").write_text('[{"op": "conv2d_sparse", "inputs": []}]')

    def said(*args: Any) -> str:
        assert main(["kernels", "compile", "-o", str(out), *map(str, args)]) == 1 and not out.exists()
        return capsys.readouterr().err

    assert "no op 'softmux'" in said("--arch", "sm_90", "--op", "softmux")
    assert "no kernels for sm_75; those that there are: sm_80" in said("--arch", "sm_75", "--op", "softmax")
    assert "FILE.py:FUNCTION expected" in said("--arch", "sm_90", "--run", "nothing")
    assert re.search(r"--run math:nothing: .*no attribute 'nothing'", said("--arch", "sm_90", "--run", "math:nothing"))
    with pytest.raises(SystemExit):
        main(["kernels", "compile", "--arch", "sm_90", "-o", str(out)])


def test_a_call_by_its_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", "compile", "--arch", "sm_90", "--call", "softmax", "64x1000", "-o", str(tmp_path / "k.zip"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernels"] == [{"kernel": "softmax.gpu_triton:_softmax", "target": "sm_90"}]
