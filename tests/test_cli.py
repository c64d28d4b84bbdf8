"""The command line: one JSON document on stdout, logs on stderr, exit codes that say what happened."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import accelnn as an
from accelnn.cli import COMMANDS
from accelnn.cli.terminal import columns


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "accelnn", *map(str, arguments)], capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    done = run(command, "--help")
    assert done.returncode == 0 and command in done.stdout and not done.stderr


def test_usage():
    assert run().returncode == 2
    assert run("--help").returncode == 0
    assert run("--version").stdout.split() == ["accelnn", an.__version__]
    wrong = run("kernel")
    assert wrong.returncode == 2 and "no command 'kernel'" in wrong.stderr and not wrong.stdout
    assert run("doctor", "--jsn").returncode == 2


def test_doctor():
    done = run("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["healthy"] else 1)
    for group in ("accelnn", "machine", "building", "gpu", "packages"):
        assert all({"status", "value", "fix"} <= set(finding) for finding in report[group].values())
    assert report["gpu"]["cuda"]["value"].split(",")[0] in ("built", "not built")
    missing = [f for group in report.values() if isinstance(group, dict) for name, f in group.items() if f["status"] != "ok" and name != "gpu driver"]
    assert all(f["fix"] for f in missing)


def test_doctor_names_what_is_wrong():
    done = run("doctor", ACCELNN_ISA="sse9")
    assert done.returncode == 1 and "sse9" in done.stdout and "unset ACCELNN_ISA" in done.stdout
    assert run("doctor", ACCELNN_KERNEL="matmul:nothing").returncode == 1
    assert "capped by ACCELNN_ISA=base" in run("doctor", ACCELNN_ISA="base").stdout


def test_no_color_off_a_terminal():
    assert "\x1b" not in run("doctor").stdout + run("kernels").stdout


def test_explain():
    text = run("kernels", "--explain", "matmul", "1x768x768").stdout
    assert "->  matmul_f32_" in text and "runs only when forced" in text
    document = json.loads(run("kernels", "--explain", "matmul", "1x768x768", "--json", ACCELNN_ISA="avx2").stdout)
    assert document["chosen"] in ("matmul_f32_x86_avx2", "matmul_f32_base") and document["isa"] in ("avx2", "base")
    forced = json.loads(run("kernels", "--explain", "matmul", "4x5x6", "--json", ACCELNN_KERNEL="matmul:ref").stdout)
    assert forced["chosen"] == "matmul_f32_ref"
    conv = json.loads(run("kernels", "--explain", "conv2d", "1x3x32x32,16x3x3x3", "--attr", "pad_top=1", "--json").stdout)
    assert conv["chosen"].startswith("conv2d_f32_") and conv["attrs"]["pad_top"] == 1


def test_explain_on_a_device():
    """Neither a GPU nor triton is needed: which row takes the call, why the others do not, and what it launches."""
    text = run("kernels", "--explain", "matmul", "512x768x3072:bfloat16", "--device", "sm_90").stdout
    assert "->  matmul_bf16_triton_descriptors  chosen" in text and "made for another dtype" in text and "launches: product_by_descriptors" in text
    older = json.loads(run("kernels", "--explain", "matmul", "512x768x3072:bfloat16", "--device", "sm_80", "--json").stdout)
    refused = {r["name"]: r["refused"] for r in older["rows"]}
    assert older["chosen"] == "matmul_bf16_triton"
    assert "sm_80 has no tensor memory" in refused["matmul_bf16_triton_descriptors"] and older["launches"] == ["product"]
    composed = json.loads(run("kernels", "--explain", "layer_norm", "4x8,8,8", "--device", "sm_90", "--json").stdout)
    assert composed["chosen"] and composed["launches"]
    assert "a view: nothing runs" in run("kernels", "--explain", "detach", "4x8", "--device", "sm_90").stdout
    nothing = run("kernels", "--explain", "softmax", "4x8", "--device", "sm_75")
    assert nothing.returncode == 1 and "no chip 'sm_75' is known; expected one of sm_80" in nothing.stderr
    assert "--device says where" in run("kernels", "softmax", "--device", "sm_90").stderr


def test_device_rows_are_listed():
    assert "  softmax_f32_triton  float32  ulps  softmax.gpu_triton:softmax" in run("kernels", "softmax").stdout
    (softmax,) = json.loads(run("kernels", "softmax", "--json").stdout)
    assert softmax["device_rows"][0]["name"] == "softmax_f32_triton"


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="triton is installed")
def test_compile_needs_triton(tmp_path):
    done = run("kernels", "compile", "--arch", "sm_90", "--call", "softmax", "4x8", "-o", str(tmp_path / "k.zip"))
    assert done.returncode == 1 and 'pip install "accelnn[cuda13]"' in done.stderr and not (tmp_path / "k.zip").exists()


@pytest.mark.parametrize(("arguments", "word"), [(("matmul", "1x2x3,4x5"), "matmul"), (("matmul", "1xtwo"), "no shape"), (("nothing", "1"), "no op")])
def test_explain_refuses(arguments, word):
    done = run("kernels", "--explain", *arguments)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr


def test_run(tmp_path):
    model = an.freeze(an.nn.Sequential(an.nn.Linear(4, 3)), np.zeros((1, 4), np.float32))
    model.save(tmp_path / "net.accel")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = run("run", tmp_path / "net.accel", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"output": {"shape": [2, 3], "dtype": "float32"}}
    assert np.load(tmp_path / "y.npy").tobytes() == model(an.tensor(x)).numpy().tobytes()
    np.save(tmp_path / "x.npy", x.astype(np.float64))
    wrong = run("run", tmp_path / "net.accel", "--input", tmp_path / "x.npy")
    assert wrong.returncode == 1 and "float32 expected" in wrong.stderr
    assert "missing --input" in run("run", tmp_path / "net.accel").stderr


def test_columns():
    assert columns([("a", "bb"), ("ccc", "d")]) == ["  a    bb", "  ccc  d"]
