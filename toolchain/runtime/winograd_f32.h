/* Convolution of float maps with windows of 3 x 3 by Winograd's algorithm, with activation and a pool of 2 x 2.
 *
 * Fewer products than the sum has terms, and a larger rounding error: used on request only. S. Winograd, Arithmetic
 * Complexity of Computations (1980); A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks (2016). */
#ifndef WINOGRAD_F32_H
#define WINOGRAD_F32_H

#include "activation_f32.h"

typedef enum { WINOGRAD_F32_NO_POOL, WINOGRAD_F32_MAX_POOL, WINOGRAD_F32_AVERAGE_POOL } winograd_f32_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;    /* channels: a multiple of 16 */
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t tile;  /* rows and columns of outputs that are computed together: 2 or 4 */
    int32_t batch; /* tiles between two transforms; a multiple of 6 */
    winograd_f32_pool pool;
    const float *weights; /* transformed: [groups][(tile + 2)^2][blocks][in_channels / groups][16] */
    const float *bias;    /* [groups][blocks][16] */
    activation_f32 activation;
} winograd_f32_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels], apart from `in`
 * scratch: in_channels + (tile + 2)^2 * (batch * (in_channels + groups * blocks * 16) + 32) floats */
void winograd_f32(const winograd_f32_layer *layer, const float *in, float *out, float *scratch);

#endif
