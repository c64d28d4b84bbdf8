"""Atheris on the readers of ONNX and `.accel` files: python tests/fuzz/guided.py onnx|accel [seconds] [folder]

Coverage of accelnn's Python guides the mutations, which know the formats (models.py's for ONNX; tables and graph section of `.accel`, with a checksum that
is right). It begins with the files of the node tests that ONNX publishes, and the `.accel` files made of them. An answer and an accelnn.Error are allowed; any
other exception, a crash, more than TOO_LONG seconds or more than models.MOST_MEMORY is a finding: its file is left in the folder, and the exit code is 1.
What reached new code stays in the folder's corpus for the next run. Needs `make fuzz-atheris`, which adds atheris and onnx to .venv."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
import models  # noqa: E402

TOO_LONG, LARGEST, MOST_ELEMENTS = 30, 1 << 14, 1 << 16


def arrays(ports: Sequence[tuple[str, Sequence[Any], Any]]) -> dict[str, Any] | None:
    """Zeros and ones for inputs of these shapes; unknown sizes are 2. None where that is much."""
    import numpy as np

    found = {}
    for name, shape, dtype in ports:
        known = [d if isinstance(d, int) else 2 for d in shape]
        if np.prod(known, dtype=object) > MOST_ELEMENTS or max(known, default=0) > MOST_ELEMENTS:
            return None
        found[name] = (np.arange(np.prod(known, dtype=int)) % 2).reshape(known).astype(dtype)
    return found


def try_onnx(raw: bytes, folder: Path) -> None:
    from accelnn.core.graph import every_node
    from accelnn.formats.onnx import parse
    from accelnn.formats.onnx.reader import dtype_of
    from accelnn.model.imported import ImportedModel

    model = ImportedModel(parse(raw), os.fspath(folder))
    if model.general is not None and any(n.op == "loop" for n in every_node(model.general.graph)):
        return  # a file may ask for as many steps as it likes
    ports = []
    for port in model.proto.graph.input:
        if port.name in model.input_names:
            t = port.type.tensor_type
            shape = [d.dim_value if d.HasField("dim_value") else "" for d in t.shape.dim]
            ports.append((port.name, shape, dtype_of(t.elem_type, port.name).storage))
    if all(d == "" or d >= 0 for _, shape, _ in ports for d in shape) and (feed := arrays(ports)) is not None:
        model.run(feed)


def try_accel(raw: bytes, folder: Path) -> None:
    import accelnn as an
    from accelnn.passes.plan import FLOWS, SECTIONS, sections

    path = folder / f"case_{os.getpid()}.accel"
    path.unlink(missing_ok=True)  # the last one is mapped
    path.write_bytes(raw)
    model = an.load(path)
    with contextlib.suppress(an.Error):
        model.graph.nodes()
    flows = bytes(sections(model.file).get(SECTIONS["flows"], b""))
    if all(struct.unpack_from("<I", flows, at)[0] != FLOWS["loop"] for at in range(0, len(flows), 36)):
        feed = arrays([(n, s.shape, s.dtype.storage) for n, s in model.inputs])
        if feed is not None:
            model.run(feed)


def mended(raw: bytes) -> bytes:
    """A plan whose header is right, as far as it says anything."""
    from accelnn import _C
    from accelnn.passes.plan import HEADER

    if len(raw) <= HEADER.size:
        return raw
    n = struct.unpack_from("<I", raw, 12)[0]
    return HEADER.pack(b"ACCELPLN", _C.plan_version, n, len(raw), _C.checksum(raw[HEADER.size :])) + raw[HEADER.size :]


def mutate_onnx(raw: bytes, rng: random.Random, bytes_: Callable[[bytes, int], bytes]) -> bytes:
    from accelnn.core.errors import FormatError
    from accelnn.formats.onnx import wire

    if rng.random() < 0.8:
        with contextlib.suppress(FormatError, IndexError, KeyError, RecursionError):
            tree = models.read_tree(wire.Model, raw)
            for _ in range(rng.choice((1, 1, 2, 4))):
                models.mutate_tree(tree, rng)
            return models.write_tree(tree)
    return bytes_(raw, LARGEST)


def mutate_accel(raw: bytes, rng: random.Random, bytes_: Callable[[bytes, int], bytes]) -> bytes:
    from accelnn.passes.plan import HEADER, SECTION, SECTIONS, container

    try:
        tables = [SECTION.unpack_from(raw, HEADER.size + SECTION.size * i) for i in range(min(64, struct.unpack_from("<I", raw, 12)[0]))]
    except struct.error:
        return bytes_(raw, LARGEST)
    parts = [(kind, count, raw[at : at + size]) for kind, count, at, size in tables]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not parts:
            break
        i = rng.randrange(len(parts))
        kind, count, data = parts[i]
        what = rng.random()
        if kind == SECTIONS["graph"] and what < 0.7:
            data = mutate_json(data, rng)
        elif what < 0.6 and len(data) >= 8:
            size = 8 if kind == SECTIONS["numbers"] else 4
            at = rng.randrange(len(data) // size) * size
            old = int.from_bytes(data[at : at + size], "little")
            new = rng.choice((rng.choice(models.HOSTILE), old + rng.choice((-64, -8, -1, 1, 8, 64)), old ^ 1 << rng.randrange(8 * size), rng.randrange(256)))
            data = data[:at] + (new % (1 << 8 * size)).to_bytes(size, "little") + data[at + size :]
        elif what < 0.8:
            data = bytes_(data, len(data) + 64)
        elif what < 0.9:
            count = rng.choice((count + 1, max(count - 1, 0), 2 * count, 1 << 31, (1 << 32) - 1))
        else:
            kind = rng.randrange(80)
        parts[i] = (kind, count % (1 << 32), data)
    return bytes(container(parts).numpy())[:LARGEST]


def mutate_json(raw: bytes, rng: random.Random) -> bytes:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        at = waiting.pop()
        for key in at if isinstance(at, dict) else range(len(at)):
            places.append((at, key))
            if isinstance(at[key], (dict, list)):
                waiting.append(at[key])
    for _ in range(rng.choice((1, 1, 2)) if places else 0):
        (at, key), (other, which) = rng.choice(places), rng.choice(places)
        with contextlib.suppress(KeyError, IndexError):  # of what an earlier change has taken away
            if rng.random() < 0.1:
                del at[key]
            else:
                at[key] = rng.choice((rng.choice(models.HOSTILE), -1, 0.5, None, "", [], {}, json.loads(json.dumps(other[which]))))
    return json.dumps(document).encode()


TRIED: dict[str, Callable[[bytes, Path], None]] = {"onnx": try_onnx, "accel": try_accel}
MUTATED: dict[str, Callable[[bytes, random.Random, Callable[[bytes, int], bytes]], bytes]] = {"onnx": mutate_onnx, "accel": mutate_accel}


def seeds(kind: str, folder: Path) -> None:
    """What a run begins with."""
    import accelnn as an
    from accelnn.model.imported import ImportedModel

    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, where ONNX makes its expectations
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    for case in cases:
        raw = case.model.SerializeToString()
        with contextlib.suppress(an.Error):
            if kind == "accel":
                general = ImportedModel(case.model).general if len(raw) < LARGEST else None
                raw = bytes(general.file) if general is not None else b""
            if 0 < len(raw) < LARGEST // 2:
                (folder / f"{case.name}.{kind}").write_bytes(raw)


def work(kind: str, folder: Path, options: list[str]) -> None:
    """In a process of its own, which atheris ends."""
    import atheris

    resource.setrlimit(resource.RLIMIT_AS, (models.MOST_MEMORY, models.MOST_MEMORY))
    with atheris.instrument_imports(include=["accelnn"]):
        import accelnn as an
        import accelnn.formats.onnx
        import accelnn.model  # noqa: F401
    an.set_num_threads(1)
    warnings.simplefilter("ignore")  # of numpy, about hostile numbers
    beside = folder / "beside"  # where external data would lie
    beside.mkdir(exist_ok=True)

    def once(raw: bytes) -> None:
        if kind == "accel":
            raw = mended(raw)
        try:
            TRIED[kind](raw, beside)
        except an.Error:
            pass
        except Exception as wrong:
            where = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(wrong.__traceback__)]
            name = hashlib.sha1((type(wrong).__name__ + where[-1]).encode()).hexdigest()[:12]  # a file for each place that fails
            if not (found := folder / f"finding_{name}.{kind}").exists():
                found.write_bytes(raw)
                found.with_suffix(".txt").write_text(traceback.format_exc())

    def mutate(raw: bytes, most: int, seed: int) -> bytes:
        return MUTATED[kind](raw, random.Random(seed), atheris.Mutate)[:most]

    atheris.Setup([sys.argv[0], *options], once, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=TRIED)
    parser.add_argument("seconds", nargs="?", type=int, default=60)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()) / "accelnn_fuzz" / "guided")
    parser.add_argument("--work", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder: Path = args.folder / args.kind
    if args.work is not None:
        return work(args.kind, folder, args.work)
    if not (folder / "seed").exists():
        seeds(args.kind, folder / "seed")
    (folder / "corpus").mkdir(exist_ok=True)
    until = time.monotonic() + args.seconds
    while (left := int(until - time.monotonic())) > 0:  # a crash ends the process: its file is a finding, and a new one goes on
        options = [f"-max_total_time={left}", f"-timeout={TOO_LONG}", f"-max_len={LARGEST}", f"-artifact_prefix={folder}/finding_", "-rss_limit_mb=0",
                   "-print_final_stats=1", "-verbosity=0"]  # fmt: skip
        command = [sys.executable, __file__, args.kind, "0", os.fspath(args.folder), "--work", *options]
        code = subprocess.run([*command, os.fspath(folder / "corpus"), os.fspath(folder / "seed")]).returncode
        if code == 0:
            break
        print(f"the process ended with {code}", flush=True)
    found = sorted(p for p in folder.glob("finding_*") if p.suffix != ".txt")
    for path in found:
        note = path.with_suffix(".txt")
        print(f"{path}: {note.read_text().strip().splitlines()[-1] if note.exists() else 'a crash, or too long'}")
    print(f"{args.kind}: {len(list((folder / 'corpus').iterdir()))} inputs that reached new code, {len(found)} findings", flush=True)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
