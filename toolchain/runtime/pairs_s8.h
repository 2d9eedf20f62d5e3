/* A function of two int8 values, as a table of all pairs. */
#ifndef PAIRS_S8_H
#define PAIRS_S8_H

#include <stdint.h>

typedef struct {
    int32_t count;
    const int8_t *table; /* [256][256], indexed by value + 128 */
} pairs_s8_layer;

/* a, b, out: [count]; out may be one of them. */
void pairs_s8(const pairs_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out);

#endif
