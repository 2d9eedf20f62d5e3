/* A matrix turned: from channels-last to ONNX's order, and back. */
#ifndef REORDER_F32_H
#define REORDER_F32_H

#include <stdint.h>

typedef struct {
    int32_t rows, columns;
} reorder_f32_layer;

/* in: [rows][columns]; out: [columns][rows], apart from `in`. */
void reorder_f32(const reorder_f32_layer *layer, const float *in, float *out);

#endif
