/* Sum of two int8 tensors with scales of their own, rounded once. */
#ifndef ADD_S8_H
#define ADD_S8_H

#include <stdint.h>

typedef struct {
    int32_t count;
    int32_t factor_a, factor_b; /* scale of each over scale of the result, times 2^shift */
    int64_t addend;             /* zero points, and one half */
    int32_t shift;
    int32_t even; /* ties are reachable, and go to the even neighbour */
    int32_t zero, low, high;
    const int8_t *table; /* [256], applied to the result; or NULL */
} add_s8_layer;

/* a, b, out: [count]; out may be one of them. */
void add_s8(const add_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out);

#endif
