"""Bugs planted in CUDA sources: what a hurried change could do. Each must be found by one of the levels of the proof on the samples it names."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    image: str
    file: str  # below kernels/
    before: str
    after: str
    samples: tuple[str, ...]  # by name: what the changed kernel runs on


SOFTMAX, HEADER, ROW, SOURCE = "softmax/cuda_softmax", "cuda_kernel.h", "cuda_row.h", "softmax/cuda_softmax.cu"
NORM, NORM_SOURCE = "norm/cuda_norm", "norm/cuda_norm.cu"
LONG, SHORT, AXIS = ("softmax-long-2052", "softmax_grad-long-5000"), ("softmax-1", "softmax-5"), ("softmax_axis-12",)

MUTANTS = [
    Mutant("sums of a block before its warps have met", SOFTMAX, HEADER,
           "if (lane == 0) room[warp] = v;\n  __syncthreads();", "if (lane == 0) room[warp] = v;", LONG),
    Mutant("room of a block used again while others read", SOFTMAX, HEADER, "T(Join::none));\n  __syncthreads();", "T(Join::none));", LONG),
    Mutant("half of a warp", SOFTMAX, HEADER, "int step = 16", "int step = 8", SHORT),
    Mutant("three steps of five", SOFTMAX, HEADER, "step /= 2", "step /= 4", SHORT),
    Mutant("a mask of half a warp", SOFTMAX, HEADER, "whole_warp = 0xffffffffu", "whole_warp = 0xffffu", SHORT),
    Mutant("a barrier that one lane of a warp meets", SOFTMAX, HEADER, "room[warp] = v;\n  __syncthreads();", "{ room[warp] = v; __syncthreads(); }", LONG),
    Mutant("warps that the block does not have", SOFTMAX, HEADER, "lane < warps ? room[lane] : T(Join::none)", "room[lane]", LONG),
    Mutant("room for half of the warps", SOFTMAX, HEADER, "most_warps = 32", "most_warps = 16", ("softmax_grad-long-5000",)),
    Mutant("rows that are not there", SOFTMAX, SOURCE, "if (row < a.rows) softmax_row", "softmax_row", ("softmax-2", "softmax-3")),
    Mutant("one element too many", SOFTMAX, ROW, "v[i] = at < n ? x[at] : beyond", "v[i] = at <= n ? x[at] : beyond", SHORT),
    Mutant("elements beyond the row are stored", SOFTMAX, ROW, "} else if (at < n) {", "} else {", SHORT),
    Mutant("zeros beyond the row", SOFTMAX, SOURCE,
           "load<wide, threads>(x, n, thread, -infinity, v)", "load<wide, threads>(x, n, thread, 0, v)", ("softmax-below",)),
    Mutant("parts of an axis before they have met", SOFTMAX, SOURCE, "room[part][lane] = v;\n  __syncthreads();", "room[part][lane] = v;", AXIS),
    Mutant("room of an axis used again while others read", SOFTMAX, SOURCE, "room[p][lane]);\n  __syncthreads();", "room[p][lane]);", AXIS),
    Mutant("lanes beyond the last place work", SOFTMAX, SOURCE, "along = place < places ? n : 0", "along = n", AXIS),
    Mutant("lanes beyond the last place leave early", SOFTMAX, SOURCE, "  float top = -infinity, total = 0;\n  for (int64_t c = l.part; c < l.along",
           "  float top = -infinity, total = 0;\n  if (!l.along) return;\n  for (int64_t c = l.part; c < l.along", AXIS),
    Mutant("a piece without numbers", SOFTMAX, SOURCE, "top == -infinity ? 0 : top", "top", ("softmax-masked",)),
    Mutant("a piece without a maximum scales its sum", SOFTMAX, SOURCE, "tops[p] == -infinity ? totals[p] : totals[p] * expf(tops[p] - top)",
           "totals[p] * expf((tops[p] == -infinity ? 0 : tops[p]) - top)", ("softmax-masked",)),
    Mutant("the second row's pieces over the first's", SOFTMAX, SOURCE,
           "a.total[int64_t(blockIdx.x) * a.pieces + blockIdx.y] = total", "a.total[blockIdx.y] = total",
           ("softmax-long-33001",)),
    Mutant("a mean that is not mended", NORM, NORM_SOURCE, "v[i] - shift : 0", "v[i] : 0", ("layer_norm-far",)),
    Mutant("what lies beyond a row has a mean", NORM, NORM_SOURCE, "v[i] = place_of<wide, threads>(i, thread) < n ? v[i] - mean : 0", "v[i] -= mean",
           ("layer_norm-long-900",)),
    Mutant("rows of a norm that are not there", NORM, NORM_SOURCE, "if (row < a.rows) norm_row", "norm_row", ("layer_norm-long-300",)),
    Mutant("a norm's room used again while others read", NORM, HEADER, "T(Join::none));\n  __syncthreads();", "T(Join::none));", ("layer_norm-long-2052",)),
    Mutant("all lanes write the mean of lane 0's row", NORM, NORM_SOURCE, "  if (thread == 0) {\n    a.rstd[row] = scale;",
           "  if (thread < 2) {\n    a.rstd[row + thread] = scale;",
           ("layer_norm-long-300",)),
    Mutant("a mean that is written where nobody asked", NORM, NORM_SOURCE, "if (a.mean) a.mean[row]", "a.mean[row]", ("rms_norm-long-2052",)),
    Mutant("a bias that is loaded for the weight", NORM, NORM_SOURCE, "(a.bias, n, thread, 0, p)", "(a.weight, n, thread, 0, p)", ("layer_norm-long-2052",)),
    Mutant("long rows whose last run is whole", NORM, NORM_SOURCE, "if (at < n) run += term(at)", "run += term(at)", ("layer_norm-long-33001",)),
]  # fmt: skip
