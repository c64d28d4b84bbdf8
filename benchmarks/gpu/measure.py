"""The measurements of `make gpu`: `accelnn bench --device cuda`, its record written after every case."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from accelnn.bench import gpu


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out", type=Path)
    p.add_argument("--device", default="cuda")
    p.add_argument("--tiny", action="store_true", help="a rehearsal: small shapes, once")
    args = p.parse_args()

    def keep(record: dict[str, Any]) -> None:
        beside = args.out.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(record))
        beside.replace(args.out)

    chosen = gpu.cases(kind="tiny" if args.tiny else "shapes")
    found = gpu.run(chosen, args.device, "once" if args.tiny else "quick", printer=gpu.Printer(sys.stdout), keep=keep)
    return int(any("error" in r for r in found["rows"]))


if __name__ == "__main__":
    sys.exit(main())
