/* Mean of the values of each window of float maps. */
#ifndef AVERAGEPOOL_F32_H
#define AVERAGEPOOL_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t in_height, in_width, channels;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    const int32_t *divisors; /* [out_height][out_width]: elements that count */
    activation_f32 activation; /* of the result */
} averagepool_f32_layer;

/* in: [in_height][in_width][channels]; out: [out_height][out_width][channels], may lie before `in` and reach into
 * what has been read. Taps outside the map do not count. */
void averagepool_f32(const averagepool_f32_layer *layer, const float *in, float *out);

#endif
