/* Transposed convolution of float maps: every element adds its multiple of the kernel to the output. */
#ifndef CONVTRANSPOSE_F32_H
#define CONVTRANSPOSE_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x; /* between the kernels of neighbouring elements */
    int32_t dilation_y, dilation_x;
    int32_t crop_top, crop_left; /* of the full output, before its first row and column that are kept */
    int32_t groups;
    const float *weights; /* [out_channels][kernel_height][kernel_width][in_channels / groups] */
    const float *bias;      /* [out_channels] */
    activation_f32 activation; /* of the result */
} convtranspose_f32_layer;

/* in: [in_height][in_width][in_channels]; out: [out_height][out_width][out_channels], apart from `in`. */
void convtranspose_f32(const convtranspose_f32_layer *layer, const float *in, float *out);

#endif
