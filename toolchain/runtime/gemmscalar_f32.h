/* A dense layer for cores whose FPU computes one float at a time: twelve outputs, whose sums stay in registers, share
 * each input that is loaded. */
#ifndef GEMMSCALAR_F32_H
#define GEMMSCALAR_F32_H

#include "scalar_f32.h"

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    int32_t dozens;       /* blocks of twelve outputs; the rest are computed in fours */
    const float *weights; /* [blocks][1 + in_features][outputs of the block]: bias, then the taps */
    activation_f32 activation;
} gemmscalar_f32_layer;

/* in: [rows][in_features]; out: [rows][out_features], apart from `in`. */
void gemmscalar_f32(const gemmscalar_f32_layer *layer, const float *in, float *out);

#endif
