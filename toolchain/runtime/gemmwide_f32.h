/* A dense layer for machines with vectors: float vectors times float matrix. */
#ifndef GEMMWIDE_F32_H
#define GEMMWIDE_F32_H

#include "activation_f32.h"

enum { GEMMWIDE_F32_BLOCK = 16 }; /* outputs whose weights lie side by side */

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    const float *weights; /* [blocks][in_features][block] */
    const float *bias;    /* [blocks][block] */
    activation_f32 activation;
} gemmwide_f32_layer;

/* in: [rows][in_features]; out: [rows][out_features], apart from `in`. */
void gemmwide_f32(const gemmwide_f32_layer *layer, const float *in, float *out);

#endif
