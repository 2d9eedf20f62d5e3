/* A dense layer for cores that multiply two values at once: two outputs share each weight that is loaded. */
#ifndef GEMMDUAL_S8_H
#define GEMMDUAL_S8_H

#include "requantize_round_s8.h"

enum { GEMMDUAL_S8_BLOCK = 20 }; /* outputs whose sums are collected before they are rounded */

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    int32_t words;          /* of two inputs, a multiple of 8 */
    const int32_t *weights; /* [blocks of 4 outputs][words][2 pairs]: two taps, first + 256 second of 16 bits each */
    const int32_t *bias;    /* [blocks][4], less zero point times sum of weights */
    requantize_s8 output;
} gemmdual_s8_layer;

/* in:      [rows][in_features]
 * out:     [rows][out_features], apart from `in`
 * scratch: `words` * 4 bytes, of alignment 4 */
void gemmdual_s8(const gemmdual_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch);

#endif
