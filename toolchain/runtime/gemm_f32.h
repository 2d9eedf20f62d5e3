/* A dense layer: float vector times float matrix. */
#ifndef GEMM_F32_H
#define GEMM_F32_H

#include "activation_f32.h"

enum { GEMM_F32_BLOCK = 16 }; /* outputs computed together */

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    const float *weights; /* [blocks][in_features][GEMM_F32_BLOCK] */
    const float *bias;    /* [blocks][GEMM_F32_BLOCK] */
    activation_f32 activation;
} gemm_f32_layer;

/* in: [rows][in_features]; out: [rows][out_features], apart from `in`. */
void gemm_f32(const gemm_f32_layer *layer, const float *in, float *out);

#endif
