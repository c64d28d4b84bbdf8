"""The roofline of a record of `make gpu`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from accelnn.bench.gpu.plot import roofline


def main() -> int:
    record = json.loads(Path(sys.argv[1]).read_text())
    if not record.get("rows") or not roofline(record, Path(sys.argv[2])):
        print("nothing was timed: no roofline")
    return 0


if __name__ == "__main__":
    sys.exit(main())
