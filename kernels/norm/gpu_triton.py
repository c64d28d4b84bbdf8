"""Layer, RMS and group norm and their gradients, for devices: statistics of rows of n elements.

Statistics in two passes over registers, the second one also mending the mean; those of the pieces of a long row are joined in double. With gradients of
the parameters a program walks over many rows and adds up in registers; what the programs found is added in their order by a second launch."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row
from ..reduce.gpu_triton import SUM, run as reduce
from ..tiles import Tiles, cut
from .gpu_triton_channels import channel_sums

IN_REGISTERS, GRADIENT_IN_REGISTERS = 16384, 8192
PARTS = 256  # programs that walk over rows


@triton.jit
def _parameter(p, rows, c, n, groups, channels, inner, GROUPED: tl.constexpr):
    """Weight or bias of the tile's elements: one an element of the row, or one a channel of a group."""
    if GROUPED:
        return tl.load(p + (rows % groups * channels)[None, :] + (c // inner)[:, None], mask=(c < n)[:, None], other=0.0)
    else:
        return tl.load(p + c, mask=c < n, other=0.0)[:, None]


@triton.jit
def _moments(v, live, n, RMS: tl.constexpr):
    """Of each column: a mean, what it lacks (the sum that gave it was rounded), the sum of squares about the mended one; v without the first."""
    if RMS:
        none = tl.sum(v, 0) * 0.0
        return none, none, tl.sum(tl.where(live, v * v, 0.0), 0), v
    mean = tl.div_rn(tl.sum(v, 0), n)
    moved = tl.where(live, v - mean[None, :], 0.0)
    shift = tl.div_rn(tl.sum(moved, 0), n)
    squares = tl.sum(tl.where(live, moved * moved, 0.0), 0) - n * shift * shift
    return mean, shift, tl.where(squares < 0.0, 0.0, squares), moved


@triton.jit
def _scaled(z, weight, bias, rows, c, n, groups, channels, inner, GROUPED: tl.constexpr):
    if weight is not None:
        z = z * _parameter(weight, rows, c, n, groups, channels, inner, GROUPED)
    if bias is not None:
        z = z + _parameter(bias, rows, c, n, groups, channels, inner, GROUPED)
    return z


@triton.jit
def _norm(x, weight, bias, y, rstd, mean, rows, n, groups, channels, inner, eps,
          RMS: tl.constexpr, GROUPED: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    c = tl.arange(0, BLOCK)
    at, live = r[None, :] * n + c[:, None], (r[None, :] < rows) & (c[:, None] < n)
    v = tl.load(x + at, mask=live, other=0.0)
    terms = tl.full((ACROSS,), 0.0, tl.float32) + n
    m, shift, squares, moved = _moments(v, live, terms, RMS)
    scale = tl.div_rn(1.0, tl.sqrt_rn(tl.div_rn(squares, terms) + eps))
    z = (moved - shift[None, :]) * scale[None, :]
    tl.store(y + at, _scaled(z, weight, bias, r, c, n, groups, channels, inner, GROUPED), mask=live)
    tl.store(rstd + r, scale, mask=r < rows)
    if mean is not None:
        tl.store(mean + r, m + shift, mask=r < rows)


@triton.jit
def _norm_pieces(x, means, squares, rows, n, RMS: tl.constexpr, BLOCK: tl.constexpr):
    r = tl.program_id(0).to(tl.int64) + tl.zeros((1,), tl.int64)
    piece = tl.program_id(1)
    c = piece * BLOCK + tl.arange(0, BLOCK)
    live = c[:, None] < n
    v = tl.load(x + r[None, :] * n + c[:, None], mask=live, other=0.0)
    terms = tl.zeros((1,), tl.float32) + tl.minimum(n - piece * BLOCK, BLOCK)
    m, shift, s, _ = _moments(v, live, terms, RMS)
    tl.store(means + r + piece.to(tl.int64) * rows, m.to(tl.float64) + shift.to(tl.float64))
    tl.store(squares + r + piece.to(tl.int64) * rows, s.to(tl.float64))


@triton.jit
def _norm_join(x, weight, bias, y, rstd, mean, means, squares, rows, n, groups, channels, inner, eps, pieces,
               RMS: tl.constexpr, GROUPED: tl.constexpr, PIECES: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    r = tl.program_id(0).to(tl.int64)
    p = tl.arange(0, PIECES)
    terms = tl.where(p < pieces, tl.minimum(n - p * BLOCK, BLOCK), 0).to(tl.float64)
    m = tl.load(means + r + p.to(tl.int64) * rows, mask=p < pieces, other=0.0)
    s = tl.load(squares + r + p.to(tl.int64) * rows, mask=p < pieces, other=0.0)
    total = tl.sum(terms, 0)
    centre = tl.sum(tl.where(p < pieces, m * terms, 0.0), 0) / total
    if not RMS:
        s += tl.where(p < pieces, terms * (m - centre) * (m - centre), 0.0)
    scale = (1.0 / tl.sqrt(tl.sum(s, 0) / total + eps)).to(tl.float32)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at, live = r * n + c[:, None], c[:, None] < n
    z = (tl.load(x + at, mask=live, other=0.0) - centre.to(tl.float32)) * scale
    tl.store(y + at, _scaled(z, weight, bias, r + tl.zeros((1,), tl.int64), c, n, groups, channels, inner, GROUPED), mask=live)
    if tl.program_id(1) == 0:
        tl.store(rstd + r, scale)
        if mean is not None:
            tl.store(mean + r, centre.to(tl.float32))


@triton.jit
def _terms(dy, x, rstd, mean, weight, r, c, rows, n, groups, channels, inner, GROUPED: tl.constexpr):
    """dy, g = dy weight, z and rstd of a tile; 0 outside of it."""
    at, live = r[None, :] * n + c[:, None], (r[None, :] < rows) & (c[:, None] < n)
    scale = tl.load(rstd + r, mask=r < rows, other=0.0)[None, :]
    v = tl.load(x + at, mask=live, other=0.0)
    if mean is not None:
        v = tl.where(live, v - tl.load(mean + r, mask=r < rows, other=0.0)[None, :], 0.0)
    d = tl.load(dy + at, mask=live, other=0.0)
    g = d
    if weight is not None:
        g = tl.where(live, d * _parameter(weight, r, c, n, groups, channels, inner, GROUPED), 0.0)
    return d, g, v * scale, scale, at, live


@triton.jit
def _norm_grad(dy, x, rstd, mean, weight, dx, dweight, dbias, rows, n, groups, channels, inner, per_part,
               PARAMS: tl.constexpr, GROUPED: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    c = tl.arange(0, BLOCK)
    part = tl.program_id(0).to(tl.int64)
    dw, db = tl.zeros((BLOCK, ACROSS), tl.float32), tl.zeros((BLOCK, ACROSS), tl.float32)
    for begin in range(0, per_part, ACROSS):
        r = part * per_part + begin + tl.arange(0, ACROSS)
        d, g, z, scale, at, live = _terms(dy, x, rstd, mean, weight, r, c, rows, n, groups, channels, inner, GROUPED)
        slope = tl.sum(tl.where(live, g * z, 0.0), 0)[None, :] / n
        inside = g - z * slope
        if mean is not None:
            inside -= tl.sum(g, 0)[None, :] / n
        tl.store(dx + at, scale * inside, mask=live)
        if PARAMS >= 1:
            dw += d * z
        if PARAMS == 2:
            db += d
    if PARAMS >= 1:
        tl.store(dweight + part * n + c, tl.sum(dw, 1), mask=c < n)
    if PARAMS == 2:
        tl.store(dbias + part * n + c, tl.sum(db, 1), mask=c < n)


@triton.jit
def _norm_grad_pieces(dy, x, rstd, mean, weight, sums, slopes, rows, n, groups, channels, inner, GROUPED: tl.constexpr, BLOCK: tl.constexpr):
    r = tl.program_id(0).to(tl.int64) + tl.zeros((1,), tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    _, g, z, _, _, live = _terms(dy, x, rstd, mean, weight, r, c, rows, n, groups, channels, inner, GROUPED)
    to = r + tl.program_id(1).to(tl.int64) * rows
    tl.store(sums + to, tl.sum(g, 0))
    tl.store(slopes + to, tl.sum(tl.where(live, g * z, 0.0), 0))


@triton.jit
def _norm_grad_join(dy, x, rstd, mean, weight, dx, sums, slopes, rows, n, groups, channels, inner, pieces,
                    GROUPED: tl.constexpr, PIECES: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) + tl.zeros((1,), tl.int64)
    p = tl.arange(0, PIECES)
    where, known = r[None, :] + p[:, None].to(tl.int64) * rows, p[:, None] < pieces
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    _, g, z, scale, at, live = _terms(dy, x, rstd, mean, weight, r, c, rows, n, groups, channels, inner, GROUPED)
    inside = g - z * (tl.sum(tl.load(slopes + where, mask=known, other=0.0), 0)[None, :] / n)
    if mean is not None:
        inside -= tl.sum(tl.load(sums + where, mask=known, other=0.0), 0)[None, :] / n
    tl.store(dx + at, scale * inside, mask=live)


def _operand(call: Call, i: int) -> Any:
    return call.inputs[i] if i < len(call.inputs) else None


def _forward(call: Call, rows: int, n: int, groups: int, channels: int, inner: int, rms: int) -> None:
    if rows == 0:
        return
    x, y, rstd = call.inputs[0], call.outputs[0], call.outputs[1]
    mean = None if rms else call.outputs[2]
    operands = x, _operand(call, 1), _operand(call, 2), y, rstd, mean
    t: Tiles = cut(rows, n, 1, IN_REGISTERS)
    sizes, eps = (rows, n, groups, channels, inner), float(call.attrs["eps"])
    grouped = int(groups > 0)
    if t.pieces == 1:
        return call.launch(_norm, (t.grid[0],), *operands, *sizes, eps, RMS=rms, GROUPED=grouped, BLOCK=t.block, ACROSS=t.across, warps=t.warps)
    means, squares = (call.scratch((t.pieces, rows), type(x.dtype).float64) for _ in range(2))
    call.launch(_norm_pieces, t.grid, x, means, squares, rows, n, RMS=rms, BLOCK=t.block, warps=t.warps)
    call.launch(_norm_join, t.grid, *operands, means, squares, *sizes, eps, t.pieces, RMS=rms, GROUPED=grouped, PIECES=t.row, BLOCK=t.block, warps=t.warps)


def _backward(call: Call, rows: int, n: int, groups: int, channels: int, inner: int, params: int) -> int:
    """dx, and where the programs walk over rows, the gradients of the parameters: how many of those are still to do."""
    if rows == 0:
        return params
    dy, x, rstd, mean, weight = (_operand(call, i) for i in range(5))
    grouped, dx = int(groups > 0), call.outputs[0]
    operands, sizes = (dy, x, rstd, mean, weight, dx), (rows, n, groups, channels, inner)
    t: Tiles = cut(rows, n, 1, GRADIENT_IN_REGISTERS)
    if t.pieces == 1:
        summed = 0 if grouped else params
        parts = min(t.grid[0], PARTS) if summed else t.grid[0]
        per_part = ceil_div(t.grid[0], parts) * t.across
        parts = ceil_div(rows, per_part)
        found = [call.scratch((parts, n), x.dtype) for _ in range(summed)]
        call.launch(_norm_grad, (parts,), *operands, *(found + [None, None])[:2], *sizes, per_part, PARAMS=summed, GROUPED=grouped, BLOCK=t.block,
                    ACROSS=t.across, warps=t.warps)  # fmt: skip
        for f, out in zip(found, call.outputs[1:]):
            reduce(call, SUM, f, out, [(n, 1)], [(parts, n)], n, parts)
        return params - summed
    sums, slopes = (call.scratch((t.pieces, rows), x.dtype) for _ in range(2))
    call.launch(_norm_grad_pieces, t.grid, *operands[:5], sums, slopes, *sizes, GROUPED=grouped, BLOCK=t.block, warps=t.warps)
    call.launch(_norm_grad_join, t.grid, *operands, sums, slopes, *sizes, t.pieces, GROUPED=grouped, PIECES=t.row, BLOCK=t.block, warps=t.warps)
    return params


def _rows(call: Call, x: Any) -> tuple[int, int]:
    lead = len(x.shape) - int(call.attrs["dims"])
    return count(x.shape[:lead]), count(x.shape[lead:])


@row()
def layer_norm(call: Call) -> None:
    _forward(call, *_rows(call, call.inputs[0]), 0, 1, 1, int(call.attrs["rms"]))


@row()
def layer_norm_grad(call: Call) -> None:
    rows, n = _rows(call, call.inputs[1])
    if _backward(call, rows, n, 0, 1, 1, int(call.attrs["params"])):
        channel_sums(call, rows, n, 1, 1)


def _grouped(call: Call, x: Any) -> tuple[int, int, int, int, int]:
    """rows, elements of a row, groups, channels of a group, places."""
    groups, inner = int(call.attrs["groups"]), count(x.shape[2:])
    channels = x.shape[1] // groups
    return x.shape[0] * groups, channels * inner, groups, channels, inner


@row()
def group_norm(call: Call) -> None:
    _forward(call, *_grouped(call, call.inputs[0]), 0)


@row()
def group_norm_grad(call: Call) -> None:
    x = call.inputs[1]
    if _backward(call, *_grouped(call, x), int(call.attrs["params"])):
        channel_sums(call, x.shape[0], x.shape[1], count(x.shape[2:]), int(call.attrs["groups"]))
