/* Transposed convolution of int8 maps: every element adds its multiple of the kernel to the output. */
#ifndef CONVTRANSPOSE_S8_H
#define CONVTRANSPOSE_S8_H

#include "requantize_s8.h"

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x; /* between the kernels of neighbouring elements */
    int32_t dilation_y, dilation_x;
    int32_t crop_top, crop_left; /* of the full output, before its first row and column that are kept */
    int32_t groups;
    int32_t zero; /* zero point of the input */
    const int8_t *weights; /* [out_channels][kernel_height][kernel_width][in_channels / groups] */
    const int32_t *bias;      /* [out_channels] */
    requantize_s8 output;
} convtranspose_s8_layer;

/* in: [in_height][in_width][in_channels]; out: [out_height][out_width][out_channels], apart from `in`. */
void convtranspose_s8(const convtranspose_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
