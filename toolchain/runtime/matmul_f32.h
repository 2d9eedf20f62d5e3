/* Products of float matrices, both computed by the network. */
#ifndef MATMUL_F32_H
#define MATMUL_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t count; /* of matrices */
    int32_t rows, terms, columns;
    activation_f32 activation; /* of the result */
} matmul_f32_layer;

/* a: [count][rows][terms]; b: [count][terms][columns]; out: [count][rows][columns], apart from both. */
void matmul_f32(const matmul_f32_layer *layer, const float *a, const float *b, float *out);

#endif
