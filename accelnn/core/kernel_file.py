"""Files of compiled kernels: a zip of cubins and an index that says which launches each is for. `accelnn kernels compile` writes them (ADR 0021).

    index.json          {"format", "version", "made_by", "kernels": [{"kernel", "source", "key", "target", "image", "entry", "warps", "shared", "scratch",
                        "parameters"}]}
    images/<sha256>     a cubin, once however many entries it has

The zip's comment ends in the SHA-256 of all that comes before it: every flipped bit is noticed, those that zip has no checksum for too. A file is
outside bytes all the same: sizes, types and ranges are checked before anything of it reaches the driver."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..emulation.specialize import SHORT
from ..version import __version__
from .errors import FormatError

FORMAT, VERSION = "accelnn kernels", 1
SEAL = b"accelnn kernels; SHA-256 of all bytes before it: "
DIGITS = 64
MOST_INDEX, MOST_IMAGE = 256 << 20, 64 << 20  # bytes, unpacked
HEX = re.compile(r"[0-9a-f]{64}")
TYPES = set(SHORT.values()) | {"i1"}
UNSOUND = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, IndexError, TypeError, NotImplementedError, RuntimeError, EOFError, OSError,
           OverflowError, MemoryError)  # fmt: skip  (what zipfile, zlib and json say of bytes that are not theirs)


@dataclass(frozen=True)
class Entry:
    """One kernel for one kind of launch on one target. source: a hash of what it was compiled from; key: emulation.specialize; image: its SHA-256."""

    kernel: str
    source: str
    key: str
    target: str
    image: str
    entry: str
    warps: int
    shared: int
    scratch: int  # bytes of global memory for each program
    parameters: tuple[tuple[str, str], ...]


# What a field may be: its type, and what else must hold.
CHECKS: dict[str, Any] = {
    "kernel": lambda x: isinstance(x, str) and 0 < len(x) < 1024,
    "source": lambda x: isinstance(x, str) and HEX.fullmatch(x),
    "key": lambda x: isinstance(x, str) and len(x) < 1 << 20,
    "target": lambda x: isinstance(x, str) and re.fullmatch(r"sm_[0-9]{2,3}", x),
    "image": lambda x: isinstance(x, str) and HEX.fullmatch(x),
    "entry": lambda x: isinstance(x, str) and re.fullmatch(r"[A-Za-z_$][\w$]{0,1023}", x, re.A),
    "warps": lambda x: type(x) is int and 1 <= x <= 32,
    "shared": lambda x: type(x) is int and 0 <= x <= 1 << 20,
    "scratch": lambda x: type(x) is int and 0 <= x <= 1 << 40,
    "parameters": lambda x: isinstance(x, list) and len(x) < 1024 and all(map(_is_parameter, x)),
}


def _is_parameter(x: Any) -> bool:
    return isinstance(x, list) and len(x) == 2 and all(isinstance(s, str) for s in x) and 0 < len(x[0]) < 1024 and x[1].removeprefix("*") in TYPES


def write(path: str | os.PathLike[str], entries: Iterable[Entry], images: dict[str, bytes], made_by: dict[str, str]) -> None:
    """The same entries give the same bytes."""
    index = {"format": FORMAT, "version": VERSION, "made_by": {"accelnn": __version__, **made_by},
             "kernels": [asdict(e) for e in sorted(entries, key=lambda e: (e.kernel, e.target, e.key, e.source))]}  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in [("index.json", json.dumps(index, indent=1).encode()), *((f"images/{k}", images[k]) for k in sorted(images))]:
            z.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        z.comment = SEAL + b"0" * DIGITS
    content = sealed(buffer.getvalue())
    beside = Path(f"{os.fspath(path)}.{os.getpid()}")  # whoever reads the old file keeps it whole
    beside.write_bytes(content)
    os.replace(beside, path)


def sealed(content: bytes) -> bytes:
    """The bytes with the hash at their end made true."""
    return content[:-DIGITS] + hashlib.sha256(content[:-DIGITS]).hexdigest().encode()


class KernelFile:
    """An opened file: its index is checked, its images when they are asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            content = Path(path).read_bytes()
        except OSError as reason:
            raise FormatError(f"{self.path}: a file of compiled kernels expected: {reason.strerror}") from reason
        label = content[-DIGITS - len(SEAL) : -DIGITS]
        if label != SEAL:
            raise FormatError(f"{self.path}: no file of compiled kernels, or cut short: it does not end in a checksum")
        if hashlib.sha256(content[:-DIGITS]).hexdigest().encode() != content[-DIGITS:]:
            raise FormatError(f"{self.path}: its checksum differs from its bytes: the file is damaged")
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(content))
            index = json.loads(self._member("index.json", MOST_INDEX))
            self.made_by, self.entries = self._checked(index)
        except UNSOUND as reason:
            raise self._unsound(reason) from reason
        self.found = {(e.kernel, e.key, e.target, e.source): e for e in self.entries}
        self.sources = {(e.kernel, e.target): e.source for e in self.entries}

    def _unsound(self, reason: BaseException) -> FormatError:
        if isinstance(reason, FormatError):
            return reason
        return FormatError(f"{self.path}: not a sound file of compiled kernels: {reason or type(reason).__name__}")

    def _member(self, name: str, most: int) -> bytes:
        info = self.zip.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.file_size > most:
            raise FormatError(f"{self.path}: {name} has {info.file_size} bytes, packed by method {info.compress_type}: at most {most}, deflated, expected")
        with self.zip.open(info) as f:
            content = f.read(most + 1)
        if len(content) != info.file_size:
            raise FormatError(f"{self.path}: {name} unpacks to {len(content)} bytes, {info.file_size} expected")
        return content

    def _checked(self, index: Any) -> tuple[dict[str, str], tuple[Entry, ...]]:
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise FormatError(f"{self.path}: its index is not one of compiled kernels")
        if index.get("version") != VERSION:
            raise FormatError(f"{self.path}: version {index.get('version')!r}: this accelnn reads version {VERSION}")
        made_by, kernels = index.get("made_by"), index.get("kernels")
        if not isinstance(made_by, dict) or not all(isinstance(v, str) for v in made_by.values()) or not isinstance(kernels, list):
            raise FormatError(f"{self.path}: its index lacks made_by or kernels")
        there = set(self.zip.namelist())
        entries = []
        for i, k in enumerate(kernels):
            if not isinstance(k, dict) or k.keys() != CHECKS.keys():
                raise FormatError(f"{self.path}: kernel {i} of its index: exactly {', '.join(CHECKS)} expected")
            wrong = next((name for name, sound in CHECKS.items() if not sound(k[name])), None)
            if wrong is not None or f"images/{k['image']}" not in there:
                raise FormatError(f"{self.path}: kernel {i} of its index: {wrong or 'image'} is {str(k[wrong or 'image'])[:80]!r}")
            entries.append(Entry(**{**k, "parameters": tuple((n, t) for n, t in k["parameters"])}))
        return made_by, tuple(entries)

    def image(self, entry: Entry) -> bytes:
        """The cubin of an entry."""
        try:
            content = self._member(f"images/{entry.image}", MOST_IMAGE)
        except UNSOUND as reason:
            raise self._unsound(reason) from reason
        if hashlib.sha256(content).hexdigest() != entry.image:
            raise FormatError(f"{self.path}: the image of {entry.kernel} for {entry.target} is not the one that its name says")
        return content
