"""`accelnn explain`: a model's graph before and after the passes, what went into what, and what each call costs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..bench import ceilings
from ..core.device import get_num_threads, set_num_threads
from ..core.dims import Dim, Size
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, Error, FormatError, ShapeError
from ..core.graph import Spec
from ..model import load
from ..model.explain import explain
from ..model.imported import ImportedModel
from .explain_page import page, picture
from .explain_text import lines

MILLISECONDS, REPEATS = 10.0, 8  # for each limit of the machine: half a second in all
WORDS = {"batch": 1, "n": 1, "b": 1, "height": 224, "width": 224, "h": 224, "w": 224}
EPILOG = """SHAPE: sizes joined by x, 1x3x224x224; or a .npy file, whose numbers are then used. Inputs that are not given get sizes from --dims, or
sizes that such inputs often have, and random numbers: the page says so.

Exit code: 0 done; 1 failed; 2 wrong usage."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn explain", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=Path, help=".onnx or .accel")
    p.add_argument("--input", action="append", default=[], metavar="[NAME=]SHAPE|FILE", help="once for each input")
    p.add_argument("--dims", action="append", default=[], metavar="NAME=NUMBER", help="the size of a named dimension")
    p.add_argument("--threads", type=int, default=0, metavar="N", help="default: as many as accelnn takes")
    p.add_argument("--repeat", type=int, default=20, metavar="N", help="runs of which the median is taken")
    p.add_argument("--graph", action="store_true", help="also every node, before and after")
    p.add_argument("--html", type=Path, metavar="FILE", help="one page with everything, that needs nothing else")
    p.add_argument("--svg", type=Path, metavar="FILE", help="the picture of the page")
    p.add_argument("--json", action="store_true")
    return p


def dims(given: Sequence[str]) -> dict[str, int]:
    found = {}
    for text in given:
        for one in text.split(","):
            name, sign, size = one.rpartition("=")
            if not sign or not size.isdigit():
                raise AttributeValueError(f"--dims {text}: NAME=NUMBER expected")
            found[name] = int(size)
    return found


def ports(model: Any) -> list[tuple[str, Spec]]:
    """Names of the inputs, with their sizes as far as the file says them."""
    if not isinstance(model, ImportedModel):
        return [(name, node.outputs[0]) for (name, _), node in zip(model.inputs, model.graph.inputs)]
    if model.general is not None and [n for n, _ in model.general.inputs] == model.input_names:
        return ports(model.general)
    from ..formats.onnx import Importer

    reader = Importer(model.proto, model.folder, model.dims)
    return [(port.name, reader.spec(port)) for port in model.proto.graph.input if port.name in model.input_names]


def size(s: Any, spec: Spec, axis: int, known: Mapping[str, int]) -> int:
    """A number for a size that the file leaves open: one that is usual for such an input."""
    if not isinstance(s, Size):
        return int(s)
    names = sorted(_names(s))
    guess = {n: known[n] if n in known else _usual(n, spec, axis) for n in names}
    return int(s.evaluate(guess))


def _names(s: Size) -> set[str]:
    found: set[str] = set()
    for atoms in s.terms:
        for a in atoms:
            found |= {a.name} if isinstance(a, Dim) else _names(a.numerator)
    return found


def _usual(name: str, spec: Spec, axis: int) -> int:
    word = name.lower()
    if word in WORDS:
        return WORDS[word]
    for part, n in WORDS.items():
        if len(part) > 1 and part in word:
            return n
    if axis == 0:
        return 1
    usual = {4: 3 if axis == 1 else 224, 3: 64, 2: 512}  # pictures, frames of features, samples of sound
    return usual.get(len(spec.shape), 16) if spec.dtype not in (DType.int64, DType.int32) else 64


def numbers(name: str, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    """Random numbers that an input can take: indices are small, masks let everything through."""
    rng = np.random.default_rng(0)
    storage = np.dtype(np.float32) if dtype == DType.bfloat16 else dtype.storage
    if "mask" in name.lower() or dtype == DType.bool:
        return np.ones(shape, storage)
    if storage.kind in "iu":
        return np.zeros(shape, storage) if "type" in name.lower() else np.asarray(rng.integers(1, 100, shape)).astype(storage)
    return np.asarray(0.3 * rng.normal(size=shape)).astype(storage)


def feed(model: Any, given: Sequence[str], known: Mapping[str, int]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by name, and the names of the inputs whose sizes are examples."""
    wanted = dict(ports(model))
    texts: dict[str, str] = {}
    for text in given:
        name, sign, rest = text.partition("=")
        if not sign:
            if len(wanted) != 1:
                raise ShapeError(f"which input is '{text}'? Write --input NAME={text} with one of {', '.join(wanted)}")
            name, rest = next(iter(wanted)), text
        if name not in wanted:
            raise ShapeError(f"there is no input '{name}'; there are {', '.join(wanted)}")
        texts[name] = rest
    named = {n for spec in wanted.values() for s in spec.shape if isinstance(s, Size) for n in _names(s)}
    if unknown := set(known) - named:
        raise ShapeError(f"--dims: no dimension is called '{min(unknown)}'; there are {', '.join(sorted(named)) or 'none'}")
    arrays, examples = {}, []
    for name, spec in wanted.items():
        if name in texts:
            arrays[name] = _given(name, texts[name], spec)
            continue
        if any(isinstance(s, Size) and not _names(s) <= set(known) for s in spec.shape):
            examples.append(name)
        arrays[name] = numbers(name, tuple(size(s, spec, i, known) for i, s in enumerate(spec.shape)), spec.dtype)
    return arrays, examples


def _given(name: str, text: str, spec: Spec) -> np.ndarray:
    if text.endswith(".npy"):
        try:
            return np.asarray(np.load(text, allow_pickle=False))
        except (OSError, ValueError, EOFError) as reason:
            raise FormatError(f"{text}: {reason}") from reason
    try:
        shape = tuple(int(s) for s in text.split("x")) if text not in ("", "()") else ()
    except ValueError:
        raise ShapeError(f"--input {name}={text}: sizes joined by x, or a .npy file, expected") from None
    if len(shape) != len(spec.shape):
        raise ShapeError(f"--input {name}={text}: {spec} expected")
    return numbers(name, shape, spec.dtype)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.threads < 0 or args.repeat < 1:
        parser().error("--threads and --repeat: numbers from 1 up")
    before = get_num_threads()
    try:
        if args.threads:
            set_num_threads(args.threads)
        document = explained(args)
    finally:
        set_num_threads(before)
    for path, text in ((args.html, page), (args.svg, picture)):
        if path:
            write(path, text(document))
    if args.json:
        print(json.dumps(document))
        return 0
    for line in lines(document):
        print(line)
    for path in filter(None, (args.html, args.svg)):
        print(f"\nwritten: {path}")
    return 0


def explained(args: argparse.Namespace) -> dict[str, Any]:
    try:
        model = load(args.model)
    except OSError as reason:
        raise FormatError(f"{args.model}: {reason.strerror or reason}") from reason
    arrays, examples = feed(model, args.input, dims(args.dims))
    try:
        document = explain(model, arrays, lambda only: ceilings.measure(get_num_threads(), MILLISECONDS, REPEATS, only), args.repeat, args.graph)
    except Error as reason:
        if not examples:
            raise
        sizes = ", ".join(f"--input {name}={'x'.join(map(str, arrays[name].shape))}" for name in examples)
        raise type(reason)(f"{reason}\nThese sizes were guessed: {sizes}. Give others, or --dims") from reason
    return {"model": str(args.model), "bytes": args.model.stat().st_size, "example_sizes": examples, **document}


def write(path: Path, text: str) -> None:
    """Beside, then renamed: a page is whole or not there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)
