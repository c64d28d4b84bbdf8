"""What a model costs until its first answer, beside onnxruntime: python benchmarks/model_memory.py [part of a name ...] [--json FILE]

One process for each file and each engine, libraries imported before. `peak`: VmHWM after a run less VmRSS before load. `load`: file to first answer.
`.accel`: the same of a `.accel` file of it, and the share of weights + the largest live set (temporaries, workspace, inputs, outputs) that its peak is.
The files are those of tests/formats/test_onnx_real.py (make models); --threads 1 unless said otherwise."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def cases() -> Any:
    sys.path.insert(0, str(ROOT))
    return importlib.import_module("tests.formats.test_onnx_real")


def status(field: str) -> int:
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)) << 10


def one(engine: str, name: str, path: str, threads: int) -> dict[str, Any]:
    """In a process of its own: bytes and seconds."""
    given = cases()
    open_ = opener(engine, threads)
    inputs = given.MODELS[name]("")[0]  # "": the file's first input
    before, began = status("VmRSS"), time.perf_counter()
    names, run, facts = open_(path)
    feed = {k or names[0]: v for k, v in inputs.items() if (k or names[0]) in names}
    run(feed)
    taken = time.perf_counter() - began
    found: dict[str, Any] = {"peak": status("VmHWM") - before, "after": status("VmRSS") - before, "seconds": taken}
    again = time.perf_counter()
    run(feed)
    return {**found, "again": time.perf_counter() - again, **facts(feed)}


def opener(engine: str, threads: int) -> Any:
    if engine == "onnxruntime":
        import onnxruntime as ort

        def theirs(path: str) -> Any:
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = threads, 4
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            return [i.name for i in session.get_inputs()], lambda feed: session.run(None, feed), lambda _: {}

        return theirs
    import accelnn as an

    an.set_num_threads(threads)

    def ours(path: str) -> Any:
        model = an.load(path)
        names = model.input_names if engine == "ours" else [n for n, _ in model.inputs]

        def facts(feed: Any) -> dict[str, int]:
            plan = model.model_for(feed) if engine == "ours" else model
            ports = sum(v.nbytes for v in feed.values()) + sum(y.numpy().nbytes for y in model.run(feed).values())
            return {"weights": plan.weight_bytes, "live": plan.plan.arena + ports}

        return names, model.run, facts

    return ours


def measured(engine: str, name: str, path: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", engine, name, os.fspath(path), "--threads", str(threads)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as an installed package: bytecode is kept
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": os.path.join(tempfile.gettempdir(), "accelnn_pycache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{engine} {name}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def saved(path: Path, name: str, folder: str) -> Path:
    """The `.accel` file of a model: of its general Plan, else of the one for its first case."""
    import accelnn as an

    model = an.load(path)
    feed = {k: v for k, v in cases().MODELS[name](model.input_names[0])[0].items() if k in model.input_names}
    target = Path(folder) / "m.accel"
    model.model_for(feed).save(target)
    return target


def cpu() -> str:
    return next(line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one, args.threads)))
        return
    given, rows = cases(), {}
    for engine in ("ours", "onnxruntime"):  # what they read lies in the page cache from now on
        measured(engine, (first := next(iter(given.MODELS))), given.place(first), args.threads)
    print(f"{'MiB, ms':36} {'file':>6} {'ours':>7} {'ort':>7} {'ratio':>6} {'load':>7} {'ort':>7} | {'.accel':>7} {'of need':>7} {'load':>7}")
    for name in given.MODELS:
        if args.names and not any(part in name for part in args.names):
            continue
        path = given.place(name)
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = (measured(engine, name, path, args.threads) for engine in ("ours", "onnxruntime"))
            made = measured("accel", name, saved(path, name, folder), args.threads)
        rows[name] = {"ours": ours, "onnxruntime": theirs, "accel": made}
        mib, need = 1 << 20, made["weights"] + made["live"]
        print(f"{path.name:36} {path.stat().st_size / mib:6.1f} {ours['peak'] / mib:7.1f} {theirs['peak'] / mib:7.1f} "
              f"{ours['peak'] / theirs['peak']:6.2f} {ours['seconds'] * 1e3:7.0f} {theirs['seconds'] * 1e3:7.0f} | {made['peak'] / mib:7.1f} "
              f"{made['peak'] / max(need, 1):7.2f} {made['seconds'] * 1e3:7.0f}", flush=True)  # fmt: skip
    if args.json:
        about = {"date": time.strftime("%Y-%m-%d"), "threads": args.threads, "cpu": cpu()}
        Path(args.json).write_text(json.dumps({**about, "files": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
