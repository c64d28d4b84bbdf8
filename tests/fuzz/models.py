"""Mutates real ONNX files, or the `.accel` files made of them, and loads and runs what comes out: python tests/fuzz/models.py onnx|accel [seconds] [folder]

Allowed are an answer and an accelnn.Error. A crash, more than TOO_LONG seconds or any other exception is a finding: its file is left in the folder, and the
exit code is 1. Case n of a run is a function of (seed, n) alone: --seed S --first N repeats it. Mutations know the format: half of them change one field of
the protocol buffer (numbers to hostile ones, names to each other, fields dropped, doubled, moved), the others bytes; a `.accel` file's checksum is mended."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
from copy import deepcopy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOO_LONG, MOST_MEMORY = 60, 6 << 30
FILES = ("silero_vad/data/silero_vad.onnx", "silero_vad/data/silero_vad_half.onnx", "silero_vad/data/silero_vad_op18_ifless.onnx",
         "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "speechmos/dnsmos_models/model_v8.onnx",
         "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx", "speechmos/plcmos_models/plcmos_v2.onnx")  # fmt: skip
HOSTILE = (0, 1, 2, 3, 7, 8, 127, 128, 255, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 2)

Tree = list[list[Any]]  # fields of a message: [number, wire kind, value, message type or None]


def read_tree(kind: Any, raw: bytes) -> Tree:
    from accelnn.formats.onnx import wire

    at, found = 0, []
    view = memoryview(raw)
    while at < len(raw):
        tag, at = wire._varint(view, at, len(raw))
        number, how = tag >> 3, tag & 7
        inner = kind.FIELDS.get(number, ("", "", None))[2]
        if how == 0:
            value: Any
            value, at = wire._varint(view, at, len(raw))
        elif how == 2:
            size, at = wire._varint(view, at, len(raw))
            value = read_tree(inner, raw[at : at + size]) if inner is not None else raw[at : at + size]
            at += size
        else:
            size = wire.FIXED[how][1]
            value = raw[at : at + size]
            at += size
        found.append([number, how, value, inner])
    return found


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def write_tree(tree: Tree) -> bytes:
    out = bytearray()
    for number, how, value, _ in tree:
        out += varint(number << 3 | how)
        if how == 0:
            out += varint(value)
        else:
            body = write_tree(value) if isinstance(value, list) else value
            out += (varint(len(body)) if how == 2 else b"") + body
    return bytes(out)


def fields(tree: Tree) -> list[tuple[Tree, int]]:
    """Every field, and the message that it is in."""
    found, waiting = [], [tree]
    while waiting:
        one = waiting.pop()
        for i, f in enumerate(one):
            found.append((one, i))
            if isinstance(f[2], list):
                waiting.append(f[2])
    return found


def mutate_tree(tree: Tree, rng: random.Random) -> None:
    """Changes one field."""
    every = fields(tree)
    place, i = rng.choice(every)
    field = place[i]
    what = rng.randrange(8)
    if what == 0:
        del place[i]
    elif what == 1:
        place.insert(rng.randrange(len(place) + 1), deepcopy(field))
    elif what == 2:
        other, k = rng.choice(every)
        place[i] = deepcopy(other[k])
    elif field[1] == 0:
        field[2] = rng.choice(HOSTILE) if rng.random() < 0.7 else rng.randrange(64)
    elif isinstance(field[2], list):
        rng.shuffle(field[2])
    elif field[1] == 2:
        texts = [f[j][2] for f, j in every if f[j][1] == 2 and isinstance(f[j][2], bytes) and len(f[j][2]) < 64]
        if len(field[2]) < 64 and rng.random() < 0.7 and texts:
            field[2] = rng.choice(texts)
        else:
            field[2] = mutate_bytes(field[2], rng)
    else:
        field[2] = rng.choice((b"\0" * 8, b"\xff" * 8, struct.pack("<d", float("inf")), struct.pack("<2f", 1e30, -1e30)))[: len(field[2])]


def mutate_bytes(raw: bytes, rng: random.Random) -> bytes:
    b = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not b:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(8)))
        at, what = rng.randrange(len(b)), rng.randrange(5)
        if what == 0:
            b[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            b[at : at + 8] = struct.pack("<Q", rng.choice(HOSTILE))[: len(b) - at]
        elif what == 2:
            del b[at : at + rng.choice((1, 4, 64, len(b)))]
        elif what == 3:
            start = rng.randrange(len(b))
            b[at:at] = b[start : start + rng.randrange(64)]
        else:
            b[at] = rng.randrange(256)
    return bytes(b)


class Onnx:
    suffix = "onnx"

    def __init__(self, path: Path, feed: dict[str, Any]) -> None:
        from accelnn.formats.onnx import wire

        self.kind, self.raw, self.feed = wire.Model, path.read_bytes(), feed

    def case(self, rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return mutate_bytes(self.raw, rng)
        tree = read_tree(self.kind, self.raw)
        for _ in range(rng.choice((1, 1, 2, 4))):
            mutate_tree(tree, rng)
        return write_tree(tree)

    def run(self, path: Path) -> None:
        import accelnn as an

        model = an.load(path)
        model.run({n: self.feed[n] for n in model.input_names if n in self.feed})


class Accel:
    suffix = "accel"

    def __init__(self, path: Path, feed: dict[str, Any]) -> None:
        import accelnn as an

        model = an.load(path)
        self.raw = bytes(model.model_for({n: feed[n] for n in model.input_names}).file)
        self.feed = feed

    def case(self, rng: random.Random) -> bytes:
        """Whole words of the tables, which are far smaller than the weights; then header and checksum are right again."""
        from accelnn import _C
        from accelnn.passes.plan import HEADER, SECTION, SECTIONS

        b = bytearray(self.raw)
        if rng.random() < 0.1:
            return mutate_bytes(self.raw, rng)
        n = struct.unpack_from("<I", b, 12)[0]
        tables = [SECTION.unpack_from(b, HEADER.size + SECTION.size * i) for i in range(n)]
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            kind, _, offset, size = rng.choice([t for t in tables if t[3] and t[0] != SECTIONS["weights"]])
            if rng.random() < 0.1:
                at, size = HEADER.size + rng.randrange(SECTION.size * n // 4) * 4, 4
            else:
                size = min(size, 8 if kind == SECTIONS["numbers"] else 4)
                at = offset + rng.randrange(max(1, tables_size(tables, kind) // size)) * size
            old = int.from_bytes(b[at : at + size], "little")
            new = rng.choice((rng.choice(HOSTILE), old + rng.choice((-64, -8, -1, 1, 8, 64)), old ^ 1 << rng.randrange(8 * size), rng.randrange(256)))
            b[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, "little")
        b[: HEADER.size] = HEADER.pack(b"ACCELPLN", _C.plan_version, n, len(b), _C.checksum(bytes(b[HEADER.size :])))
        return bytes(b)

    def run(self, path: Path) -> None:
        import numpy as np

        import accelnn as an

        model = an.load(path)
        with contextlib.suppress(an.Error):
            model.graph.nodes()
        model.run({n: self.feed.get(n, np.zeros([d if isinstance(d, int) and d < 512 else 2 for d in s.shape], s.dtype.storage)) for n, s in model.inputs})


def tables_size(tables: list[Any], kind: int) -> int:
    return next(int(t[3]) for t in tables if t[0] == kind)


KINDS = {"onnx": Onnx, "accel": Accel}


def subjects(kind: str) -> list[Any]:
    """What is mutated: the files that are installed."""
    sys.path.insert(0, str(ROOT))
    real = importlib.import_module("tests.formats.test_onnx_real")
    found = []
    for name in FILES:
        if importlib.util.find_spec(name.partition("/")[0]) is None:
            continue
        feed = real.MODELS[name]("input")[0]
        path = real.place(name)
        import accelnn as an

        first = an.load(path).input_names
        found.append(KINDS[kind](path, {k: v for k, v in (feed if set(first) <= set(feed) else real.MODELS[name](first[0])[0]).items() if k in first}))
    return found


def one(made: list[Any], seed: int, n: int, folder: Path) -> str:
    """Runs case n. Empty, or what is wrong."""
    import accelnn as an

    rng = random.Random(f"{seed}/{n}")
    subject = made[rng.randrange(len(made))]
    path = folder / f"case_{os.getpid()}.{subject.suffix}"
    path.write_bytes(subject.case(rng))
    try:
        subject.run(path)
    except an.Error:
        pass
    except Exception:
        path.rename(folder / f"finding_{seed}_{n}.{subject.suffix}")
        return traceback.format_exc()
    return ""


def work(kind: str, seed: int, first: int, folder: str, pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    import accelnn as an

    an.set_num_threads(1)
    made = subjects(kind)
    if not made:
        pipe.send((-1, "none of the models' packages is installed: make models"))
        return
    n = first
    while True:
        pipe.send((n, ""))
        wrong = one(made, seed, n, Path(folder))
        if wrong:
            pipe.send((n, wrong))
        n += 1


def fuzz(kind: str, seconds: float, folder: Path, seed: int = 0, first: int = 0, quiet: bool = False) -> tuple[int, list[str]]:
    """(cases, findings)."""
    context = multiprocessing.get_context("spawn")
    until, findings, n, begun = time.monotonic() + seconds, list[str](), first, False
    folder.mkdir(parents=True, exist_ok=True)

    def finding(n: int, what: str) -> None:
        findings.append(f"case {n}: {what}")
        if not quiet:
            print(f"{kind} --seed {seed} --first {n}: {what}", flush=True)

    while time.monotonic() < until:
        ours, theirs = context.Pipe(False)
        worker = context.Process(target=work, args=(kind, seed, n, os.fspath(folder), theirs), daemon=True)
        worker.start()
        theirs.close()
        begun = False
        try:
            while time.monotonic() < until:
                if not ours.poll(TOO_LONG if begun else 300):
                    finding(n, f"more than {TOO_LONG} seconds")
                    keep(folder, worker.pid, kind, seed, n)
                    n += 1
                    break
                n, wrong = ours.recv()
                begun = True
                if n < 0:
                    raise SystemExit(wrong)
                if wrong:
                    finding(n, wrong.strip())
        except EOFError:
            worker.join()
            finding(n, f"the process ended with {worker.exitcode}")
            keep(folder, worker.pid, kind, seed, n)
            n += 1
        finally:
            worker.kill()
            worker.join()
            (folder / f"case_{worker.pid}.{kind}").unlink(missing_ok=True)
    return n - first, findings


def keep(folder: Path, pid: int | None, kind: str, seed: int, n: int) -> None:
    path = folder / f"case_{pid}.{kind}"
    if path.exists():
        path.rename(folder / f"finding_{seed}_{n}.{kind}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("seconds", nargs="?", type=float, default=60)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()) / "accelnn_fuzz" / "models")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    cases, findings = fuzz(args.kind, args.seconds, args.folder, args.seed, args.first)
    print(f"{args.kind}: {cases} cases with seed {args.seed}, {len(findings)} findings", flush=True)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
