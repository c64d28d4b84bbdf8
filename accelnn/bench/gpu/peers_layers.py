"""torch's convolutions, normalization, losses and recurrent layers."""

from __future__ import annotations

from typing import Any

from ..peers.torch_norm import PREPARE
from ..works import Inputs
from .peers import Call, nn, on_cuda, peer, tf32, torch

# Convolutions. cuDNN is asked to try its algorithms before it chooses one.


def _image(x: Any, last: bool) -> Any:
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d) if last else x


def _conv(last: bool, relu: bool, high: bool = False, function: Any = None) -> Any:
    def make(x: Inputs, image: Any, w: Any, b: Any) -> Call:
        torch.backends.cudnn.benchmark = True
        g, image, w, b = x.note, _image(image, last), _image(w, last), b.to(image.dtype)
        convolve = function or (nn.conv2d if image.dim() == 4 else nn.conv3d)

        def call() -> Any:
            with tf32(high):
                y = convolve(image, w, b, g["stride"], g["padding"], g["dilation"], g["groups"])
                return y.relu_() if relu else y

        return call

    return make


def _fused(last: bool) -> Any:
    """cuDNN's own kernel for convolution, bias and relu."""

    def make(x: Inputs, image: Any, w: Any, b: Any) -> Call:
        on_cuda("cuDNN")
        torch.backends.cudnn.benchmark = True
        g, image, w, b = x.note, _image(image, last), _image(w, last), b.to(image.dtype)
        pair = [g["stride"]] * 2, [g["padding"]] * 2, [g["dilation"]] * 2

        def call() -> Any:
            with tf32(False):
                return torch.cudnn_convolution_relu(image, w, b, *pair, g["groups"])

        return call

    return make


for _dtype, _end in (("f32", ""), ("bf16", "_bf16"), ("f16", "_f16")):
    for _layout in ("NHWC", "NCHW"):
        for _relu in (False, True):
            peer(f"conv2d{_end}{'_relu' * _relu}", f"cuDNN {_layout}", _dtype)(_conv(_layout == "NHWC", _relu))
        peer(f"conv2d{_end}_relu", f"cuDNN {_layout} fused", _dtype)(_fused(_layout == "NHWC"))
for _relu in (False, True):
    peer(f"conv2d{'_relu' * _relu}", "cuDNN NHWC tf32", "tf32")(_conv(True, _relu, high=True))
for _layout in ("NHWC", "NCHW"):
    def _volume(x: Inputs, image: Any, w: Any, b: Any, last: bool = _layout == "NHWC") -> Call:
        return _conv(last, False)(x, image, w, b)

    peer("conv3d", f"cuDNN {'NDHWC' if _layout == 'NHWC' else 'NCDHW'}")(_volume)


def _conv_backward(last: bool, of_weights: bool) -> Any:
    def make(x: Inputs, dy: Any, second: Any) -> Call:
        torch.backends.cudnn.benchmark = True
        g, dy, second = x.note, _image(dy, last), _image(second, last)
        pair = [g["stride"]] * 2, [g["padding"]] * 2, [g["dilation"]] * 2
        if of_weights:
            image = second
            w = torch.empty(dy.shape[1], image.shape[1] // g["groups"], x.attrs["kernel_h"], x.attrs["kernel_w"], device=dy.device)
        else:
            w, image = second, torch.empty(dy.shape[0], second.shape[1] * g["groups"], x.attrs["in_h"], x.attrs["in_w"], device=dy.device)
        image, w = _image(image, last), _image(w, last)
        mask = [not of_weights, of_weights, False]

        def call() -> Any:
            with tf32(False):
                return torch.ops.aten.convolution_backward(dy, image, w, None, *pair, False, [0, 0], g["groups"], mask)[int(of_weights)]

        return call

    return make


for _layout in ("NHWC", "NCHW"):
    peer("conv2d_dgrad", f"cuDNN {_layout}")(_conv_backward(_layout == "NHWC", False))
    peer("conv2d_wgrad", f"cuDNN {_layout}")(_conv_backward(_layout == "NHWC", True))

# Rows

for _name in ("layer_norm", "layer_norm_grad", "rms_norm", "group_norm", "group_norm_grad", "batch_norm", "batch_norm_grad", "softmax_grad",
              "log_softmax_grad"):  # fmt: skip
    peer(_name, "torch")(PREPARE[_name])


@peer("rms_norm_grad", "torch autograd")
def _rms_grad(x: Inputs, dy: Any, a: Any, rstd: Any, mean: Any, w: Any) -> Call:
    a, w = a.detach().requires_grad_(), w.detach().requires_grad_()
    kept: dict[Any, Any] = {}

    def call() -> Any:
        here = torch.cuda.current_stream() if torch.cuda.is_available() else None
        if here not in kept:
            kept[here] = nn.rms_norm(a, a.shape[-1:], w, 1e-5)
        return torch.autograd.grad(kept[here], (a, w), dy, retain_graph=True)

    return call


peer("softmax", "torch")(lambda x, a: lambda: torch.softmax(a, -1))
peer("log_softmax", "torch")(lambda x, a: lambda: torch.log_softmax(a, -1))
peer("cross_entropy", "torch")(lambda x, a, labels, weight: lambda: nn.cross_entropy(a, labels, reduction="none"))


@peer("cross_entropy_grad", "torch")
def _loss_grad(x: Inputs, a: Any, labels: Any, dloss: Any, *saved: Any) -> Call:
    """Both kernels of its backward pass; the log-probabilities are there."""
    logs, total = torch.log_softmax(a, -1), torch.ones((), device=a.device)
    aten = torch.ops.aten

    def call() -> Any:
        d = aten.nll_loss_backward(dloss, logs, labels, None, 0, -100, total)
        return aten._log_softmax_backward_data(d, logs, -1, torch.float32)

    return call


# Recurrent cells


def _layer(kind: str, cast: Any = None) -> Any:
    def make(x: Inputs, a: Any, *weights: Any) -> Call:
        units = weights[1].shape[1]
        layer = getattr(torch.nn, kind.upper())(a.shape[2], units, batch_first=True).to(a.device)
        layer.load_state_dict(dict(zip(layer.state_dict(), weights)))
        if cast is not None:
            layer, a = layer.to(cast), a.to(cast)
        layer.requires_grad_(False)

        def call() -> Any:
            with tf32(False):
                return layer(a)[0]

        return call

    return make


for _kind in ("lstm", "gru"):
    peer(_kind, f"cuDNN {_kind.upper()}")(_layer(_kind))
    peer(_kind, f"cuDNN {_kind.upper()} f16", "f16")(_layer(_kind, torch.float16))
