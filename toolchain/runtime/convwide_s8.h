/* Convolution of int8 maps for processors with vector units, with a pool of its output pixels built in: conv_s8 with
 * weights in blocks of 16 output channels.
 *
 * Rows of the input are spread into a tile, with the padding around them, so that every window lies in it as
 * kernel_height runs of kernel_width * depth values; depth is the channels of a group. */
#ifndef CONVWIDE_S8_H
#define CONVWIDE_S8_H

#include "requantize_s8.h"
#include "tile_s8.h"

enum { CONVWIDE_S8_POOL_AREA = 16 }; /* most convolution outputs that one pool takes */

typedef enum { CONVWIDE_S8_NO_POOL, CONVWIDE_S8_MAX_POOL, CONVWIDE_S8_AVERAGE_POOL } convwide_s8_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t padding;    /* what lies outside the map: the input's zero point */
    int32_t tile_rows;  /* output rows of which a tile holds the input */
    int32_t tile_width; /* columns of a tile: the input's that windows reach, and padding */
    convwide_s8_pool pool;
    int32_t pool_height, pool_width; /* of windows that do not overlap; 1 without a pool */
    tile_s8_weights weights; /* [groups][blocks of its output channels][kernel_height][quads][16][4] */
    tile_s8_rows rows;       /* the same of a layer with one input channel, stride_x 1, and no pool or one of 2 x 2 */
    requantize_s8 output;    /* of each convolution output: [groups][blocks][16] */
    requantize_s8 mean;      /* of the sum over an average pool; one channel, with mean_bias added to the sum */
    int32_t mean_bias;
} convwide_s8_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * scratch: two bytes for every value of a tile, which has groups * input rows of tile_rows * tile_width * depth values
 *          and 4 more, or TILE_S8_BEYOND more where there are weights of rows */
void convwide_s8(const convwide_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch);

#endif
