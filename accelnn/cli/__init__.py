"""The command `accelnn`. Each command is a module with main(argv) -> exit code, imported when it is asked for.

Exit codes: 0 done; 1 it failed, or what was compared differs, and stderr says why; 2 wrong usage. With --json, stdout holds one JSON document."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": "from handwritten digits to a program that reads them, in a few minutes",
    "doctor": "what accelnn found on this machine, and the command that fixes what is missing",
    "kernels": "every kernel, and which one a call would get: kernels --explain matmul 1x768x768",
    "explain": "what became of a model's graph, and what each call costs: explain net.onnx --html net.html",
    "bench": "kernels beside torch, numpy, onnxruntime and the machine's limits: bench matmul --quick",
    "build": "a model as an executable or a library: build net.accel -o net",
    "run": "a model on .npy files: run net.accel --input x.npy --output y.npy",
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"usage: accelnn COMMAND [...]\n\n{lines}\n\naccelnn COMMAND --help tells more; accelnn --version.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage(), end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from ..version import __version__

        print(f"accelnn {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"accelnn: no command '{name}'\n\n{usage()}", end="", file=sys.stderr)
        return 2
    from ..core.errors import Error

    try:
        return int(importlib.import_module(f".{name}", __name__).main(rest))
    except Error as error:
        print(f"accelnn {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:         # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
