/* Convolution of float maps, with activation and a pool of its output pixels in registers. */
#ifndef CONV_F32_H
#define CONV_F32_H

#include "activation_f32.h"

enum {
    CONV_F32_BLOCK = 16,    /* output channels computed together */
    CONV_F32_POOL_AREA = 16 /* most convolution outputs that one pool takes */
};

typedef enum { CONV_F32_NO_POOL, CONV_F32_MAX_POOL, CONV_F32_AVERAGE_POOL } conv_f32_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    conv_f32_pool pool;
    int32_t pool_height, pool_width; /* of windows that do not overlap; 1 without a pool */
    const float *weights; /* [groups][blocks][kernel_height][kernel_width][in_channels / groups][CONV_F32_BLOCK] */
    const float *bias;    /* [groups][blocks][CONV_F32_BLOCK] */
    activation_f32 activation;
} conv_f32_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * patches: max(4, pool_height * pool_width) windows of kernel_height * kernel_width * in_channels / groups floats,
 *          where a window can touch the padding, is dilated or is of a group; else unused */
void conv_f32(const conv_f32_layer *layer, const float *in, float *out, float *patches);

#endif
