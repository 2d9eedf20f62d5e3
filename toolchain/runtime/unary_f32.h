/* A function of each float. */
#ifndef UNARY_F32_H
#define UNARY_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t count;
    activation_f32 activation;
} unary_f32_layer;

/* in, out: [count]; may be the same. */
void unary_f32(const unary_f32_layer *layer, const float *in, float *out);

#endif
