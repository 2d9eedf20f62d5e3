/* Convolution of int8 maps, with a pool of its output pixels in registers. */
#ifndef CONV_S8_H
#define CONV_S8_H

#include "requantize_s8.h"

enum { CONV_S8_POOL_AREA = 16 }; /* most convolution outputs that one pool takes */

typedef enum { CONV_S8_NO_POOL, CONV_S8_MAX_POOL, CONV_S8_AVERAGE_POOL } conv_s8_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t padding; /* what lies outside the map: the input's zero point */
    conv_s8_pool pool;
    int32_t pool_height, pool_width; /* of windows that do not overlap; 1 without a pool */
    const int8_t *weights; /* [out_channels][kernel_height][kernel_width][in_channels / groups] */
    const int32_t *bias;   /* [out_channels], less zero point times sum of weights */
    requantize_s8 output;  /* of each convolution output */
    requantize_s8 mean;    /* of the sum over an average pool; one channel, with mean_bias added to the sum */
    int32_t mean_bias;
} conv_s8_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * patches: max(4, pool_height * pool_width) windows of kernel_height * kernel_width * in_channels / groups bytes,
 *          where a window can touch the padding, is dilated or is of a group; else unused */
void conv_s8(const conv_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *patches);

#endif
