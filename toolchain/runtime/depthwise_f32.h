/* Depthwise convolution of float maps, with an activation: each channel has one kernel of its own, and no other channel
 * is added to it. For machines with vectors, which take neighbouring channels. */
#ifndef DEPTHWISE_F32_H
#define DEPTHWISE_F32_H

#include "activation_f32.h"

enum { DEPTHWISE_F32_TAPS = 81 }; /* most taps of a kernel */

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* as many as in_channels */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;       /* as many as in_channels */
    const float *weights; /* [kernel_height][kernel_width][channels] */
    const float *bias;    /* [channels] */
    activation_f32 activation;
} depthwise_f32_layer;

/* in:    [in_height][in_width][in_channels]
 * out:   [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * pixel: in_channels floats, for a pixel of padding */
void depthwise_f32(const depthwise_f32_layer *layer, const float *in, float *out, float *pixel);

#endif
