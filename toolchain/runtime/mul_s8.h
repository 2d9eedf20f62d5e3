/* Product of two int8 tensors with scales of their own, rounded once, with broadcasting. */
#ifndef MUL_S8_H
#define MUL_S8_H

#include "broadcast.h"
#include "requantize_s8.h"

typedef struct {
    broadcast_shape shape;
    int32_t zero_a, zero_b; /* zero points of the operands */
    requantize_s8 output;
} mul_s8_layer;

/* out may be `a` where `a` is not repeated. */
void mul_s8(const mul_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out);

#endif
