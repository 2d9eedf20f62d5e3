/* Softmax of each row. */
#ifndef SOFTMAX_F32_H
#define SOFTMAX_F32_H

#include <stdint.h>

typedef struct {
    int32_t rows, columns;
} softmax_f32_layer;

/* in, out: [rows][columns]; may be the same. */
void softmax_f32(const softmax_f32_layer *layer, const float *in, float *out);

#endif
