"""Products of matrices on the machine's processor at 1, 2, 4, 8 and 16 threads beside torch and numpy: one process a number of threads, a line of JSON
for each as soon as it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

THREADS = (1, 2, 4, 8, 16)
SHAPES = ("1024x1024x1024", "2048x2048x2048")


def lines(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What of a bench's record is kept."""
    found = []
    for r in record["rows"]:
        if "error" in r:
            found.append({"threads": r["threads"], "shape": r["shape"], "error": r["error"]})
            continue
        peers = {label: p["time"]["median"] for label, p in r["peers"].items()}
        found.append({"threads": r["threads"], "shape": r["shape"], "row": r["row"], "seconds": r["time"]["median"], "flop_rate": r["flop_rate"],
                      "share": r["share"], "peers": peers, "best": r["best"], "ratio": r["ratio"]})  # fmt: skip
    return found


def main() -> int:
    cores, tiny, wrong = len(os.sched_getaffinity(0)), "--tiny" in sys.argv, False
    for shape in ("64x64x64",) if tiny else SHAPES:
        for threads in (1,) if tiny else [n for n in THREADS if n <= cores]:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, "record.json")
                command = [sys.executable, "-m", "accelnn", "bench", "matmul", "--shapes", shape, "--threads", str(threads), "--against", "torch,numpy",
                           "--quick", "--json", str(out)]  # fmt: skip
                code = subprocess.run(command, stdout=sys.stderr).returncode
                for line in lines(json.loads(out.read_text())) if out.exists() else []:
                    print(json.dumps(line), flush=True)
            wrong = wrong or bool(code)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
