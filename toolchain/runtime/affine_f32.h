/* A factor and an addend for each channel of a float tensor. */
#ifndef AFFINE_F32_H
#define AFFINE_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t count;
    int32_t channels;
    int32_t repeat; /* elements side by side that belong to one channel */
    const float *factors, *addends; /* [channels] */
    activation_f32 activation;      /* of the result */
} affine_f32_layer;

/* in, out: [count / (channels repeat)][channels][repeat]; may be the same. */
void affine_f32(const affine_f32_layer *layer, const float *in, float *out);

#endif
