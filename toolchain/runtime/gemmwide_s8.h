/* A dense layer for processors with vector units: gemm_s8 with weights in blocks of 16 outputs. */
#ifndef GEMMWIDE_S8_H
#define GEMMWIDE_S8_H

#include "requantize_s8.h"
#include "tile_s8.h"

typedef struct {
    int32_t rows; /* of the input: samples, or positions of a sequence */
    int32_t in_features;
    int32_t out_features;
    tile_s8_weights weights; /* [blocks of out_features][quads of in_features][16][4] */
    requantize_s8 output;    /* [blocks][16] */
} gemmwide_s8_layer;

/* in: [rows][in_features]; out: [rows][out_features], apart from `in`.
 * scratch: two bytes for every input, and for 4 more */
void gemmwide_s8(const gemmwide_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch);

#endif
