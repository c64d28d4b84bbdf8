// conv2d_nhwc: conv2d (conv2d/conv2d.h) on channels last, with weights that conv2d_pack made for one algorithm.
//   y[n, i, j, o] = act( residual[n, i, j, o] + bias[o] + sum over c < C/g, p < R, q < S of
//                        X[n, i sh + p dh - pad_top, j sw + q dw - pad_left, (o / (O/g)) C/g + c] w[o, c, p, q] ),   X = x, and 0 outside of it
//   in:  x f32[N, H, W, C], packed f32[P, T, 16], bias? f32[O], residual? f32[N, OH, OW, O]        out: y f32[N, OH, OW, O]
//   attributes: conv2d's nine, activation, channels (O), kernel_h, kernel_w (R, S), algorithm
// conv2d_pack(w[O, C/g, R, S]) -> packed; attributes groups, algorithm. Column j of panel q is output 16 q + j (of its group), zero beyond the last.
//   panels     [g ceil((O/g)/16), R S C/g, 16]   rows (p, q, c)
//   winograd2  [ceil(O/16), 16 C/g, 16]          3x3, stride 1, one group or O/g a multiple of 16: U = G w G^T of F(2,3), rows (tap, c)
//   winograd4  [ceil(O/16), 36 C/g, 16]          the same of F(4,3); also C/g = O/g = 4 or 8, where a panel holds several groups:
//                                            row (tap, c) of output o is then channel c ^ o of its group (winograd_lanes.h)
//   winograd5  [ceil(O/16), 36 C/g, 16]          5x5, stride 1, groups alike: F(2,5)
//   folded     [ceil(O/16), 36 4C, 16]           7x7, stride 2, C <= 4: 2x2 pixels folded into channels (row, column, c) make it 4x4 taps; F(3,4)
//   strided    [ceil(O/16), 81 C, 16]            3x3, stride 2, one group, C a multiple of 16: folded alike, 2x2 taps of
//                                            the even pixels, fewer of the odd: F(4,2); rows (tap, phase, c) without
//                                            phases whose U is always zero there (the odd ones at infinity)
//   lanes      [ceil(O/16), R S C/g, 16]         C/g = O/g in {1, 2, 4, 8}: a vector of outputs looks at its own channels, whatever their groups
// All contiguous; y may be the residual's own memory and overlaps nothing else. Any N, O, C from 0.
// Error before the activation. panels, lanes: gamma_(K+3) (sum |X| |w| + |residual| + |bias|), K = C/g R S.
// Winograd, tile by tile, d_c what the tile sees of channel c:
//   gamma_(C'+24) ( |A^T| (sum_c |U_c| (|B^T| |d_c| |B|)) |A| + |residual| + |bias| ),  C' = C/g (folded, strided: 4C)
// so at most c gamma_(C'+24) sum_c max|d_c| max|w_c|, c = 64 (winograd2), 160 (strided), 540 (winograd4), 800 (folded), 1160 (winograd5): a
// large pixel reaches all outputs of its tile. U is computed in double and rounded once. Points 0, +-1, infinity, and for the six 0, +-2/3, +-3/2,
// infinity: 3 to 4 times less error than with 0, +-1, +-2 for the same work; for the five +-5/4, +-1/2, infinity.
// NaN and infinities reach every output of their tile.
#pragma once
#define ACCELNN_OP conv2d_nhwc
#define ACCELNN_TABLE "conv2d_nhwc/conv2d_nhwc.inc"
#include "attr_slots.h"
#define ACCELNN_OP conv2d_pack
#define ACCELNN_TABLE "conv2d_nhwc/conv2d_pack.inc"
#include "attr_slots.h"
#include "conv2d/geometry.h"

namespace accelnn {
namespace conv {

enum Algorithm : int { panels = 0,
                       winograd2,
                       winograd4,
                       folded,
                       lanes_of,
                       winograd5,
                       strided,
                       n_algorithms };

// Rows of a panel of packed weights, and panels.
struct PackedShape {
  int64_t panels, taps;
};
ACCELNN_INLINE bool by_tiles(int algorithm) { return (algorithm >= winograd2 && algorithm <= folded) || algorithm == winograd5 || algorithm == strided; }
PackedShape packed_shape(int algorithm, int64_t o, int64_t per_group, int64_t r, int64_t s, int64_t groups);
// Weights of strided are 9 times as large as those that it packs; 512 to 512 channels, 84 MB, were slower with one image of 14x14 (2.7 ms for 2.1). 256 to 256
// gained 1.19 and cost a detector (common_det of ddddocr) 6 MiB of 72, which put it above onnxruntime's.
constexpr int64_t most_strided = 128 * 128;
Status check_algorithm(const char* op, int algorithm, int64_t o, int64_t per_group, int64_t r, int64_t s, int64_t groups);

// The call's shapes in NCHW, for what is shared with conv2d.
struct Turned {
  TensorView x, w, y;
};
Turned turned(const Call& call);
Geometry geometry_nhwc(const Call& call);

// `panels`: runs of taps that lie side by side in memory; a unit of work is some rows (flat: pixels of all images) times some columns.
struct Direct {
  bool flat;                            // 1x1 at stride 1: one row of all pixels
  bool copy, shared;                    // bands are copied (borders; a group's own channels), or all images are before anything else
  int64_t runs, run;                    // count, length
  int64_t images, rows, columns;        // as the loops see them
  int64_t band_rows, bands, chunks;     // units of rows, or of columns (flat)
  int64_t blocks, block;                // column blocks of a group, panels in each
  int64_t channels, row, pixel;         // of an input pixel after the copy; elements from row to row, and from one output's pixel to the next
  int64_t in_rows;                      // input rows of a band
  int64_t units, parts;
  int64_t offsets, image, part, slice;  // workspace: offsets of the runs, copies of images, part 0's slice, bytes of a slice
  size_t bytes;
};
Direct direct_plan(const Geometry& g);

// Winograd: m x m outputs a tile, size x size inputs, neighbours `dilation` pixels apart. Blocks of tiles go through transform,
// products and transform back in L2; a few tiles are transformed together first (`shared`), and the units are columns.
struct Winograd {
  int64_t m, size, points, fold;        // fold: 2 where 2x2 pixels become channels
  int64_t channels, th, tw, tiles;      // channels that a product sums; tiles of an image down, across; of all images
  int64_t chunk, chunks;                // groups that are transformed together
  int64_t block, blocks;                // most tiles of a block
  bool shared;
  int64_t row, plane, out_plane;        // elements between tiles and between points of the transformed input; between points of the products
  int64_t units, parts;
  int64_t zeros, v, products, part, slice, image;
  int64_t fold_rows, fold_columns;      // of a folded image, 16 floats a pixel
  size_t bytes;
};
Winograd winograd_plan(const Geometry& g, int algorithm);
ACCELNN_INLINE bool in_lanes(int64_t groups, int64_t o) { return groups > 1 && o / groups % 16 != 0; }          // groups smaller than a panel
ACCELNN_INLINE bool in_lanes(const Geometry& g) { return in_lanes(g.groups, g.o); }

// conv2d by way of channels last: the image turned, the weights packed, the result turned back, in the call's workspace. Worth it where the algorithm
// saves more than that: never for `panels`, to which the columns of conv2d are equal.
struct Detour {
  bool pays;
  int algorithm;
  int64_t chunks, slice;                // of windows that lie side by side (apart.h): pieces of an image, bytes of a part's panels; otherwise 0
  int64_t x, packed, y, inner;          // offsets in the workspace
  size_t bytes;
};
Detour detour(const Geometry& g, bool exact);

}  // namespace conv
}  // namespace accelnn
