// How the gradients of conv2d are cut into parts, and where their workspace lies: plain numbers, the same for check and every row.
#pragma once
#include "conv2d/geometry.h"
#include "conv2d_nhwc/conv2d_nhwc.h"

namespace accelnn {
namespace conv_grad {

using conv::at_least;
using conv::at_most;
using conv::divide_up;
using conv::Geometry;
using conv::round_up;

// dgrad. Pixels of dx whose distance is a multiple of the stride see the same taps: a phase. In each, dx is a convolution with stride 1 of dy between
// zeros: i rows of zeros above, and so on, enough for every phase. One dimension:
struct Border {
  int64_t before, after;      // zeros around dy
  int64_t phases;             // that hold a pixel
  int64_t reach;              // rows of dy beyond the first that the pixels of one stride look at
};
Border border(int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation);

struct DgradLayout {
  Border v, h;                // vertical, horizontal
  bool few;                   // channels: rows of vectors go straight into dx (dgrad_rows.h)
  bool copy;                  // dy needs borders
  bool packed;                // real pixels are packed for the tiles; otherwise the copy's columns are walked straight through, borders too
  int64_t pitch, plane;       // of dy or its copy
  int64_t band, bands;        // strides of rows of dx in a band
  int64_t rows;               // of the copy of one band
  int64_t block, blocks;      // channels of dx in a unit of work
  int64_t parts, slice;
  int64_t margin;             // floats behind the copy that may be read
  int64_t taps, panel, sums, weights;      // offsets in a slice; the copy is at its start
  size_t bytes;
};
constexpr int few = 6;                  // channels that every row's tile takes at once
constexpr int64_t most_rows_of_pixels = 8;
constexpr int64_t widest_pixels = 128;  // of any row's tile: 8 vectors of 16
constexpr int64_t tile_floats = 512;    // of any row's tile: 14 x 32, 6 x 64, 3 x 128 and less
DgradLayout dgrad_layout(const Geometry& g);
bool strided_depthwise(const Geometry& g);      // 3x3 at a stride of 2 with a border of one, as networks have it: depthwise3.h reads dy in place

// dgrad at stride 1 as conv2d_nhwc of dy with weights turned by 180 degrees, their channels and outputs exchanged (dgrad_last.h).
struct LastLayout {
  bool fits;                  // it can be done so, and pays
  Geometry g;                 // of that convolution
  int64_t weights, image, packed, result, inner;      // offsets
  size_t bytes;
};
LastLayout last_layout(const Geometry& g, bool exact);

// Windows that lie side by side (apart.h). dgrad: blocks of 32 taps of the weights, bands of windows.
Geometry as_points(const Geometry& g);  // as a 1x1 convolution over windows, where they lie apart
struct ApartLayout {
  int64_t bands, parts, sums, slice;    // `sums`: offset in a slice
  size_t bytes;
};
ApartLayout apart_layout(const Geometry& g);

// The ways to dw. Each has a layout below, and a file of its name; the last is wgrad.h.
enum class WgradWay { winograd,
                      strided,
                      points,
                      outer,
                      rows,
                      product };
WgradWay wgrad_way(const Geometry& g, bool exact);

// wgrad with pixels in the lanes (wgrad_rows.h): for few channels or outputs, where the matrix product of wgrad.h would mostly rearrange.
struct RowsLayout {
  bool copy;                  // x needs borders, or its columns split by the stride
  int64_t pitch, row, plane;  // of x or its copy: one column phase, all of them, a channel
  int64_t band, bands;        // output rows
  int64_t block, blocks;      // outputs in a unit of work
  int64_t images;             // groups of images, each with sums of its own
  int64_t units, parts;
  int64_t taps, partial, part, sums, slice;      // offsets; `partial`: sums of the groups of images
  size_t bytes;
};
constexpr int64_t widest_lanes = 16;
RowsLayout rows_layout(const Geometry& g);

// Both gradients of 3x3 and 5x5 at stride 1 by Winograd (winograd.h): rows of tiles go through the transforms `chunk` at a time, a group on its own.
struct WinogradLayout {
  Geometry g;                 // of a group alone
  int64_t x_image, y_image;   // elements from image to image, of x and of dy
  int64_t th, tw;             // tiles of an image down, across
  int64_t strips, chunk;      // rows of tiles of all images; in one go
  int64_t x_row, x_plane, y_row, y_plane;      // transforms [point][tile][channel]: x's, dy's; elements between tiles and between points
  int64_t width, parts;       // of a row of tiles with what they see beside them; units at a time
  int64_t block;              // dgrad: rows of tiles that meet a panel of weights together
  int64_t blocks;             // dgrad: parts of a chunk: units of work, each with transformed weights of its own
  int64_t depth;              // dgrad: outputs whose weights are there together
  int64_t c_block, o_blocks;  // wgrad: channels of a unit of work, blocks of outputs
  bool kept;                  // wgrad: products of all units stay until the last chunk
  int64_t unit;               // bytes of a unit's products
  int64_t panel, products, p_plane;            // offsets in a slice (the row of pixels, channels last, is at its start); between points of the products
  int64_t v_x, v_y, part, slice;
  int64_t shares, share;      // groups that are computed side by side, bytes of each
  size_t bytes;
};
constexpr int64_t points = 36, seen = 6, panel_width = 32, most_outs = 14;
bool by_winograd(const Geometry& g, int64_t h, int64_t w, bool exact);      // tiles over h x w pixels
WinogradLayout dgrad_winograd_layout(const Geometry& g);
WinogradLayout wgrad_winograd_layout(const Geometry& g);

// Both gradients of 3x3 at a stride of 2 with a border of one above and on the left, by the F(4,2) of its phases (strided.h).
bool by_strided(const Geometry& g, bool exact);
WinogradLayout strided_dgrad_layout(const Geometry& g);
WinogradLayout strided_wgrad_layout(const Geometry& g);

// wgrad with channels in the lanes (wgrad_outer.h).
struct OuterLayout {
  int64_t height, width;      // of what is seen of x in a strip
  int64_t strip, strips;      // rows of dy that are turned at a time; in an image
  int64_t x_pixel, y_pixel;   // elements between pixels, channels last
  int64_t images, band;       // turned at a time, whole ones; rows of dy that pass while a tap's sums stay in registers
  int64_t c_block, o_blocks;  // channels of a unit of work, blocks of outputs of a group
  bool kept;                  // sums of all units stay until the last strip or images
  int64_t unit;               // bytes of a unit's sums
  int64_t parts, x, y, sums, part, slice;
  size_t bytes;
};
OuterLayout outer_layout(const Geometry& g);

// wgrad of 1x1 (wgrad_points.h).
struct PointsLayout {
  int64_t panels, images;     // of 16 channels of a group; turned at a time
  int64_t block, row;         // pixels of a product, elements between rows of dy in the slice
  int64_t parts, x, part, slice;
  size_t bytes;
};
PointsLayout points_layout(const Geometry& g);

// wgrad as a matrix product: see wgrad.h.
struct WgradLayout {
  conv::Band band;
  int64_t taps, lanes, turned, part;    // offsets of the shared tables, of the transposed sums, and of the first slice
  int64_t plane, panel, sums;           // offsets in a slice
  int64_t slice, parts, images, channels, columns;
  size_t bytes;
};
WgradLayout wgrad_layout(const Geometry& g);

}  // namespace conv_grad
}  // namespace accelnn
