/* Convolution of float maps for machines with vectors, with activation and a pool in registers. */
#ifndef CONVWIDE_F32_H
#define CONVWIDE_F32_H

#include "activation_f32.h"

enum {
    CONVWIDE_F32_BLOCK = 16,    /* output channels whose weights lie side by side */
    CONVWIDE_F32_POOL_AREA = 16 /* most convolution outputs that one pool takes */
};

typedef enum { CONVWIDE_F32_NO_POOL, CONVWIDE_F32_MAX_POOL, CONVWIDE_F32_AVERAGE_POOL } convwide_f32_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    convwide_f32_pool pool;
    int32_t pool_height, pool_width; /* of windows that do not overlap; 1 without a pool */
    int32_t strip; /* rows of the output that are made from one copy of the input */
    int32_t slice; /* input channels that lie side by side in the copy; divides those of a group */
    const float *weights; /* [groups][blocks][slices of a group][kernel_height][kernel_width][slice][block] */
    const float *bias;    /* [groups][blocks][block] */
    activation_f32 activation;
} convwide_f32_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels], apart from `in`
 * scratch: the rows and columns that the windows of a strip take, of all input channels; NULL where `in` can be read as
 *          it is: no padding, and one slice */
void convwide_f32(const convwide_f32_layer *layer, const float *in, float *out, float *scratch);

#endif
