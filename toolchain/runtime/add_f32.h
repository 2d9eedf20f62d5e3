/* Sum of two float tensors, element by element. */
#ifndef ADD_F32_H
#define ADD_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t count;
    float sign; /* of the second: 1 adds, -1 subtracts */
    activation_f32 activation;
} add_f32_layer;

/* a, b, out: [count]; out may be one of them. */
void add_f32(const add_f32_layer *layer, const float *a, const float *b, float *out);

#endif
