/* Convolution of float maps for cores whose FPU computes one float at a time: four windows, the four of a pool or four
 * neighbours in a row, against six output channels, with all sums in registers. */
#ifndef CONVSCALAR_F32_H
#define CONVSCALAR_F32_H

#include "scalar_f32.h"

typedef enum { CONVSCALAR_F32_NO_POOL, CONVSCALAR_F32_MAX_POOL, CONVSCALAR_F32_AVERAGE_POOL } convscalar_f32_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    convscalar_f32_pool pool;
    int32_t pool_height, pool_width; /* of windows that do not overlap; 1 without a pool */
    int32_t runs, run;               /* of a window's taps: how many, and values of one */
    const int32_t *jumps;            /* [runs], values from behind a run to the next one; the last is 0 */
    const int32_t *places;           /* [windows of a pool, or 4], values from the first window to each one */
    int32_t sixes, fours;            /* blocks of so many channels of a group; the rest are computed one by one */
    const float *weights;            /* [groups][blocks][1 + taps][channels of the block]: bias, then the taps */
    activation_f32 each;             /* of each convolution output */
    activation_f32 activation;       /* behind the pool */
} convscalar_f32_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * patches: four windows of kernel_height * kernel_width * in_channels / groups floats; NULL where no window leaves the
 *          map */
void convscalar_f32(const convscalar_f32_layer *layer, const float *in, float *out, float *patches);

#endif
