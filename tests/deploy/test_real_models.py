"""Models that others made, as executables: the same bits as in Python. Two of them in `make test`, all of them in `make proof`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.deploy import toolchain as tc, verify

from ..formats.test_onnx_real import MODELS, place

QUICK = ("silero_vad/data/silero_vad_op18_ifless.onnx", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx")


@pytest.mark.skipif(tc.compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.proof, id=n.rpartition("/")[2]) for n in MODELS])
def test_equals_python_bit_for_bit(name: str, tmp_path: Path) -> None:
    """At every size of the model's cases: one program for all of them where one Plan serves them, else one for each."""
    whole: Any = an.load(place(name))
    built: dict[int, Path] = {}
    for feed in MODELS[name](whole.input_names[0]):
        model = whole.model_for({k: v for k, v in feed.items() if k in whole.input_names})
        if id(model) not in built:
            built[id(model)] = tmp_path / f"net{len(built)}"
            an.build(model, built[id(model)])
        given = {n: np.asarray(feed[n], s.dtype.storage) for n, s in model.inputs}
        want = model.run(given)
        found = verify.in_program([str(built[id(model)])], given, list(want))
        for output, y in want.items():
            got, expected = found[output], y.numpy()
            assert got.shape == expected.shape and got.dtype == expected.dtype and got.tobytes() == expected.tobytes(), (output, feed.keys())
