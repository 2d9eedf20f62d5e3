/* A dense layer for cores with the M-profile vector extension: each vector of inputs meets four outputs. */
#ifndef GEMMVECTOR_S8_H
#define GEMMVECTOR_S8_H

#include "requantize_round_s8.h"

enum { GEMMVECTOR_S8_BLOCK = 16 }; /* outputs rounded together */

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    int32_t vectors;       /* of 16 inputs, the last one filled up */
    const int8_t *weights; /* [blocks of 4 outputs][vectors][4][16], zeros where there is no weight */
    const int32_t *bias;   /* [out_features + 3], less zero point times sum of weights; so has output.multipliers */
    requantize_s8 output;
} gemmvector_s8_layer;

/* in:      [rows][in_features]
 * out:     [rows][out_features], apart from `in`
 * scratch: vectors * 16 bytes */
void gemmvector_s8(const gemmvector_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch);

#endif
