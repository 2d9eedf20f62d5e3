/* Product of two float tensors, element by element. */
#ifndef MUL_F32_H
#define MUL_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t count;
    activation_f32 activation;
} mul_f32_layer;

/* a, b, out: [count]; out may be one of them. */
void mul_f32(const mul_f32_layer *layer, const float *a, const float *b, float *out);

#endif
