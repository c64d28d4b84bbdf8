"""torch's products and its attention."""

from __future__ import annotations

from typing import Any

from ..works import Inputs
from .peers import Call, blas, nn, on_cuda, peer, sdpa, tf32, torch

# Products


def _mm(library: str, cast: Any = None, high: bool = False) -> Any:
    def make(x: Inputs, a: Any, b: Any) -> Call:
        if library != "cublas":
            on_cuda(library)
        if cast is not None:
            a, b = a.to(cast), b.to(cast)
        out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype, device=a.device)

        def call() -> Any:
            with blas(library), tf32(high):
                return torch.mm(a, b, out=out)

        return call

    return make


for _work, _dtype in (("matmul", "f32"), ("matmul_bf16", "bf16"), ("matmul_f16", "f16")):
    for _library, _name in (("cublaslt", "cuBLASLt"), ("cublas", "cuBLAS")):
        peer(_work, f"torch.mm {_name}", _dtype)(_mm(_library))
peer("matmul", "torch.mm cuBLASLt tf32", "tf32")(_mm("cublaslt", high=True))
peer("matmul_fp8", "torch.mm cuBLASLt bf16", "bf16")(_mm("cublaslt"))


@peer("matmul_fp8", "torch._scaled_mm e4m3", "fp8")
def _scaled(x: Inputs, a: Any, b: Any, fast: bool = False) -> Call:
    on_cuda("cuBLASLt's float8")
    one = torch.ones((), device=a.device)
    left, right = a.to(torch.float8_e4m3fn), b.t().contiguous().to(torch.float8_e4m3fn).t()
    return lambda: torch._scaled_mm(left, right, one, one, out_dtype=torch.bfloat16, use_fast_accum=fast)


@peer("matmul_fp8", "torch._scaled_mm e4m3, fast sums", "fp8")
def _scaled_fast(x: Inputs, a: Any, b: Any) -> Call:
    return _scaled(x, a, b, fast=True)


@peer("qmatmul", "torch._int_mm", "i8", lambda x, found, a, zero, w, scale: found.float() * scale)
def _bytes(x: Inputs, a: Any, zero: Any, w: Any, scale: Any) -> Call:
    """The sums alone, as int32: without the scales, which ours multiplies in the same call."""
    signed = (a.to(torch.int16) - zero.to(torch.int16)).to(torch.int8)
    return lambda: torch._int_mm(signed, w)


@peer("dynamic_qmatmul", "torch.mm f32", "f32")
def _dequantized(x: Inputs, a: Any, w: Any, scale: Any) -> Call:
    return _mm("cublas")(x, a, w.float() * scale)


@peer("dynamic_qmatmul", "torch.mm bf16", "bf16")
def _dequantized_half(x: Inputs, a: Any, w: Any, scale: Any) -> Call:
    return _mm("cublas", torch.bfloat16)(x, a, w.float() * scale)


def _from_int4(cast: Any) -> Any:
    """The product with weights that were unpacked beforehand: what four bits are compared with."""

    def make(x: Inputs, a: Any, packed: Any) -> Call:
        weights = torch.from_numpy(x.note["q"]).to(a.device).to(torch.float32)
        scales = torch.from_numpy(x.note["scales"]).to(a.device).repeat_interleave(x.attrs["group"], 1)
        return _mm("cublas", cast)(x, a, ((weights - 8) * scales).t().contiguous())

    return make


def _tinygemm(x: Inputs, a: Any, packed: Any) -> Call:
    on_cuda("tinygemm")
    q, scales = torch.from_numpy(x.note["q"]).to(a.device), torch.from_numpy(x.note["scales"]).to(a.device)
    pairs = (q[:, ::2] << 4 | q[:, 1::2]).to(torch.uint8).contiguous()
    weights = torch.ops.aten._convert_weight_to_int4pack(pairs, 8)
    both = torch.stack([scales, torch.zeros_like(scales)], -1).transpose(0, 1).contiguous().to(torch.bfloat16)
    half = a.to(torch.bfloat16)
    return lambda: torch.ops.aten._weight_int4pack_mm(half, weights, x.attrs["group"], both)


for _work in ("matmul_int4", "matmul_int4_int8"):
    peer(_work, "torch.mm f16", "f16")(_from_int4(torch.float16))
    peer(_work, "torch.mm bf16", "bf16")(_from_int4(torch.bfloat16))
    peer(_work, "tinygemm int4", "i4")(_tinygemm)

# Attention

BACKENDS = {"flash": "FLASH_ATTENTION", "cuDNN": "CUDNN_ATTENTION", "efficient": "EFFICIENT_ATTENTION"}


def _attend(backend: str) -> Any:
    def make(x: Inputs, q: Any, k: Any, v: Any) -> Call:
        causal = bool(x.attrs["causal"])

        def call() -> Any:
            with sdpa(backend), tf32(False):
                return nn.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return call

    return make


def _attend_backward(backend: str) -> Any:
    """Backward alone: the forward pass is kept. autograd works in the stream of the forward pass, hence the current one has to be the one that is recorded."""

    def make(x: Inputs, dy: Any, q: Any, k: Any, v: Any, *saved: Any) -> Call:
        leaves = [t.detach().requires_grad_() for t in (q, k, v)]
        kept: dict[Any, Any] = {}

        def call() -> Any:
            here = torch.cuda.current_stream() if torch.cuda.is_available() else None
            if here not in kept:
                with sdpa(backend), tf32(False):
                    kept[here] = nn.scaled_dot_product_attention(*leaves, is_causal=bool(x.attrs["causal"]))
            with tf32(False):
                return torch.autograd.grad(kept[here], leaves, dy, retain_graph=True)

        return call

    return make


def _decode(backend: str) -> Any:
    def make(x: Inputs, q: Any, k: Any, v: Any) -> Call:
        q = q.to(k.dtype)

        def call() -> Any:
            with sdpa(backend):
                return nn.scaled_dot_product_attention(q, k, v, enable_gqa=k.shape[1] != q.shape[1])

        return call

    return make


for _name, _backend in BACKENDS.items():
    for _dtype, _end in (("f32", ""), ("bf16", "_bf16"), ("f16", "_f16")):
        peer(f"attention{_end}", f"sdpa {_name}", _dtype)(_attend(_backend))
        peer(f"attention_grad{_end}", f"sdpa {_name}", _dtype)(_attend_backward(_backend))
    peer("attention_decode_bf16", f"sdpa {_name}", "bf16")(_decode(_backend))
    peer("attention_decode", f"sdpa {_name}")(_decode(_backend))
peer("attention_decode", "sdpa math")(_decode("MATH"))
peer("attention_decode_bf16", "sdpa math", "bf16")(_decode("MATH"))
