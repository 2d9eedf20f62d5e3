/* Depthwise convolution of int8 maps: each channel has one kernel of its own, and no other channel is added to it.
 *
 * Neighbouring channels share a vector, and products are added two taps at a time. */
#ifndef DEPTHWISE_S8_H
#define DEPTHWISE_S8_H

#include "requantize_s8.h"

enum { DEPTHWISE_S8_TAPS = 81 }; /* most taps of a kernel */

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* as many as in_channels */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;  /* as many as in_channels */
    int32_t padding; /* what lies outside the map: the input's zero point */
    const int16_t *weights; /* [pairs of taps][channels][2]; zeros behind an odd number of taps */
    const int32_t *bias;    /* [channels] */
    requantize_s8 output;   /* of channels filled up to whole blocks of 16 */
} depthwise_s8_layer;

/* in:   [in_height][in_width][in_channels]
 * out:  [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * pixel: in_channels bytes, for a pixel of padding */
void depthwise_s8(const depthwise_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *pixel);

#endif
