/* A matrix turned: from channels-last to ONNX's order, and back. */
#ifndef REORDER_S8_H
#define REORDER_S8_H

#include <stdint.h>

typedef struct {
    int32_t rows, columns;
} reorder_s8_layer;

/* in: [rows][columns]; out: [columns][rows], apart from `in`. */
void reorder_s8(const reorder_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
