"""A session in a process of its own: numpy's and onnxruntime's thread pools take their size when they start. Reads a job from stdin, writes an event a
line to stdout; what anybody else prints goes to stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ..core.errors import Error
from .cases import Case
from .measure import Pace
from .session import Job, run

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ACCELNN_NUM_THREADS")


def start(job: Job, modules: Sequence[str], emit: Callable[[dict[str, Any]], None]) -> None:
    """Runs the job in a new process with its number of threads set before anything is imported."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(job.threads))
    worker = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdin and worker.stdout
    message = {"job": asdict(job), "modules": list(modules), "path": sys.path}
    try:
        worker.stdin.write(json.dumps(message))
        worker.stdin.close()
        for line in worker.stdout:
            event = json.loads(line)
            if event["event"] == "failed":
                raise Error(event["error"])
            emit(event)
    finally:
        worker.stdout.close()
        if worker.poll() is None and sys.exc_info()[0] is not None:
            worker.terminate()
        code = worker.wait()
    if code:
        raise Error(f"the process that measured with {job.threads} thread{'s' * (job.threads > 1)} ended with code {code}; stderr above says why")


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        print(json.dumps(event), file=out, flush=True)

    message = json.load(sys.stdin)
    sys.path[:] = message["path"]
    given = message["job"]
    job = Job(**given | {"cases": [Case(**c) for c in given["cases"]], "pace": Pace(**given["pace"])})
    try:
        for module in message["modules"]:
            from .own import load

            load(module)
        run(job, emit)
    except Error as error:
        emit({"event": "failed", "error": str(error)})
    except KeyboardInterrupt:               # the command, which the same key has reached, says what there is to say
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
