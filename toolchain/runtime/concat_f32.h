/* Two tensors side by side. */
#ifndef CONCAT_F32_H
#define CONCAT_F32_H

#include <stdint.h>

typedef struct {
    int32_t rows;
    int32_t columns_a, columns_b;
} concat_f32_layer;

/* a: [rows][columns_a]; b: [rows][columns_b]; out: [rows][columns_a + columns_b], apart from both. */
void concat_f32(const concat_f32_layer *layer, const float *a, const float *b, float *out);

#endif
