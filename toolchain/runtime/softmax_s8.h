/* Softmax of each row of int8 values, rounded as the exact quotient of sums of exponentials is. */
#ifndef SOFTMAX_S8_H
#define SOFTMAX_S8_H

#include <stdint.h>

#define SOFTMAX_S8_WORDS 4 /* 32 bits each, after the binary point */

typedef struct {
    int32_t rows, columns;
    uint32_t mantissa; /* scale of the result: mantissa / 2^shift */
    int32_t shift;
    int32_t zero, low, high;
    int32_t uniform;              /* the result where all values of a row are equal */
    const uint32_t *exponentials; /* [255][WORDS]: exp(-d scale of the input) for d from 1, highest word first */
} softmax_s8_layer;

/* in, out: [rows][columns]; may be the same. */
void softmax_s8(const softmax_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
