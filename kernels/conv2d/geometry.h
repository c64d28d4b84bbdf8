// Shapes of a convolution and the way it is cut into parts: plain numbers, the same for check, workspace and every row (no SIMD in here).
#pragma once
#include "op.h"

namespace accelnn {
namespace conv {

// The slots of attributes.inc.
enum Slot : int { stride_h,
                  stride_w,
                  pad_top,
                  pad_left,
                  pad_bottom,
                  pad_right,
                  dilation_h,
                  dilation_w,
                  groups,
                  first_own };

struct Geometry {
  int64_t n, c, h, w, o, oh, ow, r, s;
  int64_t sh, sw, top, left, bottom, right, dh, dw, groups;
  int64_t cg, og, k;                    // channels, outputs and taps (channel, row, column) of one group
  int64_t pixels;                       // oh * ow
  bool padded;
};
Geometry geometry(const Call& call, const TensorView& x, const TensorView& w, const TensorView& y);

// Windows lie side by side and cover the image but for its lower and right borders: patches, or 4x4 at a stride of 4. Taps are then channels of a 1x1
// convolution over the windows.
ACCELNN_INLINE bool windows_apart(const Geometry& g) {
  return g.groups == 1 && !g.padded && g.dh == 1 && g.dw == 1 && g.r == g.sh && g.s == g.sw && g.s >= 3 && g.k >= 16 && g.o >= 4;
}

// Ranks, contiguity, shapes against each other and the attributes' ranges, all without overflow; no output may overlap an input.
Status check(const char* op, const Call& call, const TensorView& x, const TensorView& w, const TensorView& y);
Status check_floats(const char* op, const Call& call);          // every operand is f32
Status check_vector(const char* op, const char* name, const TensorView& v, DType dtype, int64_t length);
Status check_scalar(const char* op, const char* name, const TensorView& v, DType dtype);

constexpr int64_t most_parts = 8;       // enough for the cores of a workstation; each part has its own workspace
constexpr int64_t group_pixels = 16;    // pixels are gathered 16 at a time: one panel of the register tile

ACCELNN_INLINE int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
ACCELNN_INLINE int64_t at_least(int64_t a, int64_t b) { return a < b ? b : a; }
ACCELNN_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
ACCELNN_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// Where 16 successive output pixels begin in the plane of one channel, and how far each of them lies behind the first.
struct Lanes {
  int64_t start;
  int32_t distance[group_pixels];
};

// The input of one band of output rows: taps at base + tap[k] + pixel. Without padding it is x itself, else a copy with borders.
struct Band {
  int64_t rows, count;                  // output rows of a band (the largest), bands an image
  int64_t in_rows, row, plane;          // of the copy, or of x: elements from row to row and from channel to channel
  bool copy;
  int64_t groups16;                     // table entries: pixels of a band / 16
};
Band band(const Geometry& g, int64_t pixels, bool always_copy);

// Workspace: shared tables first, then one slice a part. Sizes in bytes, multiples of 64; saturating, so that a hostile shape ends as "no memory".
struct Layout {
  Band band;
  int64_t taps, lanes;                  // offsets of the shared tables
  int64_t weights, start;               // offsets: weights rearranged for the tile; qconv2d: the start of each output's sum
  int64_t part, plane, panel, sums;     // offset of part 0's slice; offsets in a slice
  int64_t slice;                        // bytes of a slice
  int64_t parts, images, channels;      // how many parts; wgrad: groups of images, channels of a block; dgrad: channels of a block
  int64_t columns, k_block;             // pixels and taps of a packed panel
  int64_t cuts;                         // conv2d: pieces of a group's outputs, at most
  size_t bytes;
};
Layout forward_layout(const Geometry& g);
Layout quantized_layout(const Geometry& g);

// conv2d on NCHW planes (planes.h). A row of a band: `phase` elements for each remainder of the column by the stride, the first column behind `lead`.
struct Planes {
  int64_t rows, bands;                            // output rows of a band (the last may have fewer), bands an image
  int64_t phase, lead, row, plane;                // elements from row to row, from channel to channel
  int64_t parts, part, slice;                     // as in Layout
  size_t bytes;
};
Planes planes_plan(const Geometry& g);
bool planes_pay(const Geometry& g);

// conv2d on NCHW with outputs as lanes (pixels.h). Sizes and offsets in bytes; `sums` in a slice, behind the copy with borders.
struct Pixels {
  Band band;
  int64_t offsets, weights, start;                // shared: of the runs of taps, [K][16], the bias in a whole vector
  int64_t parts, part, slice, sums;
  size_t bytes;
};
Pixels pixels_plan(const Geometry& g);
bool pixels_pay(const Geometry& g);

// Fills both tables of a layout. `extra` taps more than g.k are given offset 0 (bytes come in fours).
void fill_tables(const Geometry& g, const Band& b, int64_t channels, int64_t taps, int64_t* tap, Lanes* lanes);

}  // namespace conv
}  // namespace accelnn
