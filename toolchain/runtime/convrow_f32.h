/* Convolution of one float map, along its rows, with activation and a pool of 2 x 2: the first layer of many networks.
 */
#ifndef CONVROW_F32_H
#define CONVROW_F32_H

#include "activation_f32.h"

enum { CONVROW_F32_CHANNELS = 6 }; /* most output channels that are computed together */

typedef enum { CONVROW_F32_NO_POOL, CONVROW_F32_MAX_POOL, CONVROW_F32_AVERAGE_POOL } convrow_f32_pool;

typedef struct {
    int32_t in_height, in_width;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y; /* along a row the stride is 1 */
    int32_t pad_top, pad_left;
    int32_t pitch;    /* floats from one row of the copy to the next */
    int32_t together; /* output channels that are computed together: 4 or 6 */
    convrow_f32_pool pool;
    const float *weights; /* [channels / together][kernel_height][kernel_width][together] */
    const float *bias;    /* [channels / together][together] */
    activation_f32 activation;
} convrow_f32_layer;

/* in:      [in_height][in_width]
 * out:     [out_height][out_width][out_channels], apart from `in`
 * scratch: the rows that all windows take, each of `pitch` floats: windows at whole multiples of 32 outputs */
void convrow_f32(const convrow_f32_layer *layer, const float *in, float *out, float *scratch);

#endif
