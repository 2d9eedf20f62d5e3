/* Largest value of each window of float maps, for machines with vectors. */
#ifndef MAXPOOLWIDE_F32_H
#define MAXPOOLWIDE_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t in_height, in_width, channels;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    activation_f32 activation; /* of the result */
} maxpoolwide_f32_layer;

/* in: [in_height][in_width][channels]; out: [out_height][out_width][channels], apart from `in`. Taps outside the map
 * do not count. */
void maxpoolwide_f32(const maxpoolwide_f32_layer *layer, const float *in, float *out);

#endif
