/* Convolution of int8 maps for cores without vector instructions (Cortex-M0, M3): four windows and two channels
 * share what is loaded, and windows lie interleaved, so that one pointer reads them all. Cores with 16-bit
 * instructions alone load bytes with an offset without their sign only: there, values are stored plus 128. */
#ifndef CONVPATCH_S8_H
#define CONVPATCH_S8_H

#include "window_s8.h"

typedef struct {
    window_s8 windows;
    const int8_t *weights; /* [groups][channel pairs][kernel_height][kernel_width][in_channels / groups][2] */
    const int32_t *bias;   /* [groups][channel pairs][2], less zero point times sum of weights */
    const int32_t *offset; /* the same: 128 times sum of weights */
} convpatch_s8_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * patches: 4 windows of kernel_height * kernel_width * in_channels / groups bytes */
void convpatch_s8(const convpatch_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *patches);

#endif
