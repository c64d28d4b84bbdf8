"""Every sentence that the launcher can say is said, and says what came and what was expected."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelnn import _C
from accelnn.core.errors import AttributeValueError, BoundError, DTypeError, FormatError, ShapeError, UnsupportedError

from . import test_tensor_map
from .cubin import IMAGE, cubin
from .fake import apart, cuda

ROOT = Path(__file__).resolve().parents[2]


def _function(name: str = "scale", signature: str | None = "Pidf", image: bytes = IMAGE, **options: Any) -> _C.cuda.Function:
    return cuda.Function(cuda.Module(image), name, signature, **options)


def _launch(grid: Any = 1, block: Any = 1, shared: Any = 0, args: Any = (0, 0, 0.0, 0.0), stream: Any = 0, **function: Any) -> None:
    cuda.launch(_function(**function), grid, block, shared, args, stream)


def _argument(letter: str, value: Any) -> Callable[[], None]:
    image = cubin({"k": ((128 if letter == "T" else struct.calcsize(letter),), 0, 0)})
    return lambda: _launch(name="k", signature=letter, image=image, args=(value,))


MANY = cubin({"many": ((4,) * 257, 0, 0), "large": ((2048, 2048, 8), 0, 0)})
ELF = b"\x7fELF" + bytes(60)
CASES: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (FormatError, "0 bytes that are neither a cubin, a fat binary nor PTX", lambda: cuda.Module(b"")),
    (FormatError, "12 bytes that are neither", lambda: cuda.Module(b".version 8.0".replace(b" ", b"\0"))),
    (FormatError, "a cubin of 40 bytes is cut short: its header alone has 64", lambda: cuda.Module(IMAGE[:40])),
    (FormatError, "an ELF file for machine 62: a cubin .190. expected", lambda: cuda.Module(Path("/proc/self/exe").read_bytes()[:4096])),
    (FormatError, f"a cubin of {len(IMAGE) - 1} bytes is cut short: its sections end at {len(IMAGE)}", lambda: cuda.Module(IMAGE[:-1])),
    (FormatError, "a fat binary of 8 bytes is cut short: 16 expected", lambda: cuda.Module(struct.pack("<IHH", 0xBA55ED50, 1, 16))),
    (FormatError, "a fat binary of 20 bytes is cut short: 116 expected", lambda: cuda.Module(struct.pack("<IHHQ4x", 0xBA55ED50, 1, 16, 100))),
    (FormatError, "CUDA_ERROR_NO_BINARY_FOR_GPU", lambda: _function(image=struct.pack("<IHHQ4x", 0xBA55ED50, 1, 16, 4))),
    (AttributeValueError, "a kernel's name of 160 characters: fewer than 160 expected", lambda: _function("k" * 160)),
    (Exception, "cuModuleGetFunction: CUDA_ERROR_NOT_FOUND .*: kernel absent", lambda: _function("absent")),
    (AttributeValueError, 'scale has 4 parameters, the signature "Pid" 3', lambda: _function(signature="Pid")),
    (AttributeValueError, 'parameter 1 of scale has 4 bytes, 8 in the signature "Pqdf"', lambda: _function(signature="Pqdf")),
    (AttributeValueError, 'scale: the signature "Pxdf" holds x: letters of PbBhHiIqQfdT expected', lambda: _function(signature="Pxdf")),
    (UnsupportedError, "scale: a signature of more than 256 parameters or 4096 bytes of them", lambda: _function(signature="b" * 257)),
    (UnsupportedError, "scale: a signature of more than 256", lambda: _function(signature="T" * 33)),
    (UnsupportedError, "many has more than 256 parameters or 4096 bytes of them", lambda: _function("many", None, MANY)),
    (UnsupportedError, "large has more than 256 parameters or 4096 bytes", lambda: _function("large", None, MANY)),
    (AttributeValueError, "scale: a cluster of 17 x 1 x 1 blocks: 1 to 16 expected", lambda: _function(cluster=(17, 1, 1))),
    (AttributeValueError, "scale: a cluster of 1 x 0 x 1 blocks", lambda: _function(cluster=(1, 0, 1))),
    *[(BoundError, rf"scale: {g[0]} x {g[1]} x {g[2]} blocks of {b[0]} x {b[1]} x {b[2]} threads: at most 1024 threads in a block, ",
       lambda g=g, b=b: _launch(g, b)) for g, b in (((0, 1, 1), (1, 1, 1)), ((2**31, 1, 1), (1, 1, 1)), ((1, 65536, 1), (1, 1, 1)), ((1, 1, 65536), (1, 1, 1)),
                                                    ((1, 1, 1), (1025, 1, 1)), ((1, 1, 1), (1, 1, 65)), ((1, 1, 1), (2, 513, 1)), ((1, 1, 1), (0, 1, 1)),
                                                    ((-1, 1, 1), (1, 1, 1)), ((1, 1, 1), (2**62, 2**62, 1)))],
    (BoundError, "mapped: .*257 x 1 x 1 threads: at most 256 threads", lambda: _launch(1, 257, 0, (bytes(128), 0, 0), name="mapped", signature="TPb")),
    (BoundError, "whole clusters of 4 expected", lambda: _launch(6, 1, cluster=(4, 1, 1))),
    (BoundError, "scale: -1 bytes of dynamic shared memory, and 0 of its own: a block of device 0 has 232448", lambda: _launch(shared=-1)),
    (BoundError, "scale: 232449 bytes of dynamic shared memory", lambda: _launch(shared=232449)),
    (ShapeError, "scale: 27 bytes of arguments: 28 expected", lambda: _launch(args=bytes(27), signature=None)),
    (ShapeError, "scale: more than 4096 bytes of arguments", lambda: _launch(args=bytes(4097), signature=None)),
    (DTypeError, "scale has no signature: its arguments are packed bytes", lambda: _launch(signature=None)),
    (DTypeError, "the arguments of scale are not a tuple", lambda: _launch(args=[0, 0, 0.0, 0.0])),
    (ShapeError, "3 arguments for scale: as many expected as in Pidf", lambda: _launch(args=(0, 0, 0.0))),
    (DTypeError, "launch: the grid is 1.5: integers expected", lambda: _launch(grid=1.5)),
    (DTypeError, "launch: the block is 'x': integers expected", lambda: _launch(block=(1, "x"))),
    (DTypeError, "launch: the shared memory is None: integers expected", lambda: _launch(shared=None)),
    (DTypeError, "launch: the stream is 1[0-9]+: integers expected", lambda: _launch(stream=10**30)),
    (ShapeError, "launch: the grid has 4 sizes: 1 to 3 expected", lambda: _launch(grid=(1, 1, 1, 1))),
    (ShapeError, "launch: the block has 0 sizes", lambda: _launch(block=())),
    (TypeError, "a Function and 4 or 5 more expected", lambda: cuda.launch(*[1] * 5)),  # type: ignore[arg-type]
    (TypeError, "a Function and 4 or 5 more expected", lambda: cuda.launch(_function())),  # type: ignore[call-arg]
    *[(DTypeError, rf"argument 0 of k is {re.escape(repr(v)[:60])}: {said} expected", _argument(letter, v)) for letter, v, said in (
        ("P", -1, "an address or None"), ("P", 1.0, "an address or None"), ("P", 2**64, "an address or None"), ("b", 128, "an integer of 8 bits"),
        ("h", -32769, "an integer of 16 bits"), ("i", 2**31, "an integer of 32 bits"), ("i", "1", "an integer of 32 bits"),
        ("q", 2**63, "an integer of 64 bits"), ("B", 256, "an integer from 0, of 8 bits"), ("H", -1, "an integer from 0, of 16 bits"),
        ("I", 2**32, "an integer from 0, of 32 bits"),
        ("Q", -1, "an integer from 0, of 64 bits"), ("f", "x", "a number"), ("d", None, "a number"), ("T", b"12", "the bytes of a tensor map"),
        ("T", 5, "the bytes of a tensor map"))],
    (AttributeValueError, "fill: elements of 2 bytes: 1 or 4 expected", lambda: cuda.fill(4096, 0, 1, width=2)),  # type: ignore[arg-type]
    (BoundError, "fill: 256 does not fit into one byte", lambda: cuda.fill(4096, 256, 1)),
    (AttributeValueError, "the default stream of device 0 cannot be recorded", lambda: cuda.begin_capture(0)),
    (AttributeValueError, "scale is loaded on device 0, the replay is of device 1", lambda: cuda.Replay(1).append(_function(), 1, 1, 0, (0, 0, 0.0, 0.0))),
    (AttributeValueError, "scale comes too late: the 0 launches of the replay have been recorded", lambda: _late()),
]


def _late() -> None:
    replay = cuda.Replay()
    replay.run()
    replay.append(_function(), 1, 1, 0, (0, 0, 0.0, 0.0))


def _all() -> list[str]:
    said = []
    for kind, text, ask in CASES:
        with pytest.raises(kind, match=text) as raised:
            ask()
        said.append(str(raised.value))
    return said


def test_every_sentence_is_said() -> None:
    """The literals of every ACCELNN_CHECK, fail and refuse, against what these cases and those of the other files heard."""
    heard = apart(_all) + [apart(test_tensor_map._wrong, change) for change, _ in test_tensor_map.WRONG]
    elsewhere = ["cuda: no NVIDIA driver", "cuda: ACCELNN_LIBCUDA=%s cannot be opened", "cuda: the driver's library has no %s",
                 "cuda: the driver is there", "cuda: device %d asked for",                # test_driver.py
                 "cuda: no memory for an image", "cuda: no memory for %zu bytes of launches",             # malloc's failure
                 "cuda: %s: clusters and overlapping", "cuda: %s: this driver cannot say",             # test_launch.py
                 "cuda: tensor maps need"]  # fmt: skip
    files = [*(ROOT / "csrc/runtime/cuda").glob("*.cpp"), *(ROOT / "csrc/bindings").glob("cuda*.cpp")]
    literals = {t for p in files for t in re.findall(r'"(cuda: (?:[^"\\]|\\.)*)"', p.read_text())}
    patterns = {t: re.escape(t.replace('\\"', '"')).replace("%%", "%") for t in literals}
    patterns = {t: re.sub(r"%(?:ll|z)?[dusc]", ".*", p) for t, p in patterns.items() if not t.startswith(tuple(elsewhere))}
    silent = [t for t, p in patterns.items() if not any(re.search(p, h) for h in heard)]
    assert len(literals) > 40 and not silent
    assert all(len(h) < 251 for h in heard), "a sentence of Status was cut off"
