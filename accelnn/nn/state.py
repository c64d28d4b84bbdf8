"""What a state is read from and written to: mappings of arrays or of torch's tensors, safetensors files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.dtypes import from_bfloat16
from ..core.errors import Error
from ..core.tensor import Tensor


class Saved(Mapping[str, Any]):
    """The tensors of a safetensors file by name. Each is read when it is asked for, so that a part of a large file costs no more than that part."""

    def __init__(self, path: str | Path) -> None:
        import safetensors

        opened: Any = safetensors.safe_open
        self.path = path
        try:
            self.file = opened(path, framework="numpy")
        except safetensors.SafetensorError as reason:
            raise Error(f"{path}: not a sound safetensors file: {reason}") from reason
        self.names = tuple(self.file.keys())

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        if self.file.get_slice(name).get_dtype() == "BF16":
            return _bfloat16(self.path, name)
        return self.file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _bfloat16(path: str | Path, name: str) -> np.ndarray:
    """float32 of a tensor for whose type numpy has no name; the file has been checked (https://huggingface.co/docs/safetensors, Format)."""
    import json

    with open(path, "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        entry = json.loads(f.read(length))[name]
        first, last = entry["data_offsets"]
        f.seek(8 + length + first)
        return from_bfloat16(np.frombuffer(f.read(last - first), np.uint16)).reshape(entry["shape"])


def array_of(x: Any) -> np.ndarray:
    """A tensor of torch's (a Parameter too, on any device, bfloat16 widened), of ours, or an array, as an array."""
    if hasattr(x, "detach") and not isinstance(x, Tensor):
        x = x.detach().cpu()
        return np.asarray(x.float().numpy() if str(x.dtype) == "torch.bfloat16" else x.numpy())
    return np.asarray(x)


__all__ = ["Saved", "array_of"]
