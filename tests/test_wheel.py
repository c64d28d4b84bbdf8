"""The wheel, in a fresh virtual environment outside the checkout: what a user has who never sees this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

import accelnn as an

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    for stale in (*(ROOT / "build").glob("lib*"), *(ROOT / "build").glob("bdist*")):    # setuptools would pack files that are long gone
        shutil.rmtree(stale)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "-w", out, ROOT],
                   check=True)  # fmt: skip
    return next(out.glob("accelnn-*.whl"))


@pytest.fixture(scope="module")
def venv(wheel, tmp_path_factory):
    """A venv with the wheel; numpy and the rest come from the environment of the tests, so that no registry is needed."""
    folder = tmp_path_factory.mktemp("user")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", folder / "venv/bin/python", "install", "-q", "--disable-pip-version-check", "--no-deps", wheel],
                   check=True)  # fmt: skip
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")}))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")    # a plain path: its own .pth files (our editable install) are not read
    return folder


def accelnn(venv: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CXX")}
    return subprocess.run([venv / "venv/bin/accelnn", *map(str, arguments)], cwd=venv, env=clean | environment, capture_output=True, text=True)


def test_contents(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("accelnn/lib/libaccelnn.a", "accelnn/lib/runner", "accelnn/csrc/engine/accelnn.h", "accelnn/csrc/deploy/harness.c",
                   "accelnn/kernels/ops.inc", "accelnn/kernels/__init__.py", "accelnn/kernels/matmul/x86_avx512.cpp",
                   "accelnn/kernels/softmax/cuda_softmax.cu"):
        assert wanted in names
    assert not [n for n in names if n.endswith((".o", ".d", ".pyc")) or n.startswith(("tests/", "build/", "kernels/", "csrc/"))]


def test_doctor(venv):
    done = accelnn(venv, "doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["healthy"], done.stdout
    assert str(venv) in report["accelnn"]["accelnn"]["value"] and str(venv) in report["building"]["libaccelnn.a"]["value"]


def test_kernels(venv):
    listed = json.loads(accelnn(venv, "kernels", "--json").stdout)
    assert {"matmul", "conv2d"} <= {op["name"] for op in listed}
    explained = json.loads(accelnn(venv, "kernels", "--explain", "matmul", "1x768x768", "--json", ACCELNN_ISA="base").stdout)
    assert explained["chosen"] == "matmul_f32_base"


def test_bench(venv):
    (venv / "mine.py").write_text("import accelnn as an\n\nan.bench.register('mine', op='softmax', run=lambda x: an.tensor(x).softmax(-1))\n")
    done = accelnn(venv, "bench", "softmax", "--shapes", "8x33", "--quick", "--threads", "1", "--against", "numpy", "--with", "mine.py", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert {r["subject"] for r in record["rows"]} == {"accelnn", "mine"} and record["commit"] is None
    listed = subprocess.run([venv / "venv/bin/python", "-c", "from accelnn.bench import cases; print(len(cases(quick=True)))"], cwd=venv,
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert int(listed.stdout) > 20, "shapes.toml travels with the wheel"


@pytest.mark.parametrize("how", ["compiler", "prebuilt"])
def test_build(venv, how):
    an.seed(1)
    model = an.freeze(an.nn.Sequential(an.nn.Linear(7, 16), an.nn.ReLU(), an.nn.Linear(16, 3)), np.zeros((1, 7), np.float32))
    model.save(venv / "net.accel")
    done = accelnn(venv, "build", "net.accel", "-o", "net", "--verify", "--json", *(["--prebuilt"] if how == "prebuilt" else []))
    assert done.returncode == 0, done.stderr
    assert "bit for bit" in json.loads(done.stdout)["verified"]
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    np.save(venv / "x.npy", x)
    subprocess.run([venv / "net", "--input", "x.npy", "--output", "y.npy"], cwd=venv, check=True)
    assert np.load(venv / "y.npy").tobytes() == model(an.tensor(x)).numpy().tobytes()


def test_kernels_package(venv):
    code = "import accelnn.kernels, accelnn.deploy.toolchain as t; assert (t.source_root() / 'kernels/ops.inc').exists(); print(accelnn.kernels.__file__)"
    done = subprocess.run([venv / "venv/bin/python", "-c", code], cwd=venv, capture_output=True, text=True, check=True)
    assert str(venv) in done.stdout
