/* A dense layer: int8 vector times int8 matrix. */
#ifndef GEMM_S8_H
#define GEMM_S8_H

#include "requantize_s8.h"

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    const int8_t *weights; /* [out_features][in_features] */
    const int32_t *bias;   /* [out_features], less zero point times sum of weights */
    requantize_s8 output;
} gemm_s8_layer;

/* in: [rows][in_features]; out: [rows][out_features], apart from `in`. */
void gemm_s8(const gemm_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
