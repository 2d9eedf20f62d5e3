/* Convolution of int8 maps for cores with the M-profile vector extension (Cortex-M55): the taps of four windows are
 * gathered once for all channels, and each vector of weights meets all four. */
#ifndef CONVVECTOR_S8_H
#define CONVVECTOR_S8_H

#include "window_s8.h"

enum { CONVVECTOR_S8_LANES = 16, CONVVECTOR_S8_BLOCK = 16 }; /* bytes of a vector; channels rounded together */

typedef struct {
    window_s8 windows;
    int32_t vectors;        /* of a window: its taps, to whole vectors */
    const int32_t *starts;  /* [vectors]: bytes from a window's first tap to each vector's */
    const uint8_t *offsets; /* [vectors][16]: bytes from there to each tap */
    const int8_t *weights;  /* [out_channels][vectors][16], zeros beyond the taps */
    const int32_t *bias;    /* [out_channels + 3], less zero point times sum of weights; so has output.multipliers */
} convvector_s8_layer;

/* in:      [in_height][in_width][in_channels]
 * out:     [out_height][out_width][out_channels]; may lie before `in` and reach into what has been read
 * patches: vectors * 64 bytes */
void convvector_s8(const convvector_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *patches);

#endif
