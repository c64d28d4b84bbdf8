"""`make gpu`. Needs nothing but the standard library itself: what it starts may be missing, fail or hang."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from . import machine, record as records, sanitizer
from .steps import Runner, Step

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 530.0  # of nine minutes; the rest is Python's own start, and the end of what hangs
HERE = "benchmarks.gpu"


def python(*arguments: object) -> list[str]:
    return [sys.executable, *map(str, arguments)]


def steps(folder: Path, dry: bool, processes: int) -> list[Step]:
    """All of it, in order. Limits are the most that a step takes; together they are more than nine minutes, and `least` is what later ones keep."""
    device = "emu" if dry else "cuda"
    triton = "" if importlib.util.find_spec("triton") else "triton is not installed"
    n = 1 if dry else processes
    mode = {"TRITON_INTERPRET": "1"} if dry else {"TRITON_CACHE_DIR": str(ROOT / "build/triton-gpu")}
    few = ["--most", "2"] if dry else []
    checker = machine.program("compute-sanitizer")
    pytest = python("-m", "pytest", "--import-mode=importlib", "-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=60")
    tests = [*pytest, "-m", "not gpu", "tests/gpu_kernels/test_cache.py"] if dry else [*pytest, "-m", "gpu", "tests/gpu_kernels"]
    checks = [checked(tool, folder, dry, checker, python("-m", f"{HERE}.small", "--device", device, "--seconds", 40, *few)) for tool in sanitizer.TOOLS]
    shards = [{"ACCELNN_SHARD": f"{i}/{n}", "ACCELNN_REPORT": str(folder / f"tests-report-{i}.jsonl")} for i in range(n)]
    one = {"OMP_NUM_THREADS": "1"}  # of many processes beside each other
    there = "a rehearsal uses what is built" if dry and built() else ""
    picture = "" if importlib.util.find_spec("matplotlib") else "matplotlib is not installed"
    return [
        Step("build", [python("setup.py", "-q", "build_ext", "--inplace")], 200, 0, needed=True, skip=there),
        Step("machine", [python("-m", f"{HERE}.machine", device)], 30, 10, mode, needed=not dry, skip=triton if dry else ""),
        Step("tests", [tests] * n, 110, 60, {**mode, **one, "ACCELNN_DEVICE": device}, shards, skip=triton),
        Step("conformance", [python("-m", f"{HERE}.conformance", "--device", device, "--shard", f"{i}/{n}", *few) for i in range(n)], 45, 20,
             {**mode, **one}, skip=triton),
        Step("sanitizer", checks, 60, 30, {**mode, **one}, skip=triton or ("" if checker or dry else "there is no compute-sanitizer")),
        Step("bench", [python("-m", f"{HERE}.measure", folder / "bench.json", "--device", device, *(["--tiny"] if dry else []))], 170, 110, mode, skip=triton),
        Step("cpu", [python("-m", f"{HERE}.scaling", *(["--tiny"] if dry else []))], 45, 20),
        Step("picture", [python("-m", f"{HERE}.picture", folder / "record.json", folder / "roofline.png")], 20, 10, skip=picture),
    ]  # fmt: skip


def built() -> bool:
    return any((ROOT / "accelnn").glob("_C.*.so"))


def checked(tool: str, folder: Path, dry: bool, checker: str | None, command: list[str]) -> list[str]:
    path = folder / f"{tool}.txt"
    if dry or checker is None:
        return python("-m", f"{HERE}.rehearsal", tool, path, *command)
    return [checker, "--tool", tool, "--log-file", str(path), "--print-limit", "100", *command]


def main() -> int:
    p = argparse.ArgumentParser("make gpu", description=__doc__)
    p.add_argument("--dry", action="store_true", help="every step without a GPU: the emulated device, tiny shapes, no figures")
    p.add_argument("--out", type=Path, default=None, help="folder of the record (default: benchmarks/results; of a rehearsal build/gpu)")
    p.add_argument("--seconds", type=float, default=SECONDS, help="for the whole of it")
    p.add_argument("--processes", type=int, default=max(1, len(os.sched_getaffinity(0)) - 2), help="of tests beside each other")
    p.add_argument("--only", default="", help="steps, joined by commas")
    args = p.parse_args()
    os.chdir(ROOT)
    problems = [] if args.dry else machine.missing()
    for problem in problems:
        print(f"make gpu: {problem}", file=sys.stderr)
    if problems:
        return 1
    for what in machine.absent():
        print(f"  {what}", flush=True)
    folder = ROOT / "build/gpu" / f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True)
    out = args.out or (folder if args.dry else ROOT / "benchmarks/results")
    out.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()

    def keep() -> None:
        made = records.assemble(folder, runner.outcomes, args.dry)
        path = out / f"{'dry-' if args.dry else ''}{records.name_of(made)}.json"
        for target in (folder / "record.json", path):
            beside = target.with_suffix(f".{os.getpid()}")
            beside.write_text(records.text(made))
            beside.replace(target)
        for old in written - {path}:  # it had no name yet
            old.unlink(missing_ok=True)
        written.clear()
        written.add(path)

    runner = Runner(folder, args.seconds, keep)
    only = set(args.only.split(",")) - {""}
    runner.run([s for s in steps(folder, args.dry, args.processes) if not only or s.name in only], lambda said: print(said, flush=True))
    keep()
    made = records.assemble(folder, runner.outcomes, args.dry)
    path = next(iter(written))
    if (folder / "roofline.png").exists() and out != folder:
        shutil.copyfile(folder / "roofline.png", path.with_suffix(".png"))
    report(made, path, folder)
    return int(bool(records.problems(made)))


def report(made: dict, path: Path, folder: Path) -> None:
    """The end of the output: what was found, and where it stands."""
    log = folder / "bench.log"
    if log.exists():
        print(log.read_text(errors="replace"))
    for name in ("tests", "conformance", "sanitizer"):
        found = made[name]
        if name == "sanitizer":
            text = ", ".join(f"{tool} {checked_how(r)}" for tool, r in found.items())
        else:
            text = "not run" if found is None else ", ".join(f"{k} {v}" for k, v in found.items() if isinstance(v, int))
        print(f"{name}: {text}")
    for line in records.unfinished(made):
        print(f"NOT FINISHED {line}")
    for line in records.problems(made):
        print(f"WRONG {line}")
    print(f"Record in {path}; logs in {folder}")


def checked_how(report: dict | None) -> str:
    if report is None:
        return "not run"
    return f"{report['errors']} errors" if report["finished"] else "not finished"


if __name__ == "__main__":
    sys.exit(main())
