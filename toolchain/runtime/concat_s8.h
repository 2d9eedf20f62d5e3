/* Two tensors side by side. */
#ifndef CONCAT_S8_H
#define CONCAT_S8_H

#include <stdint.h>

typedef struct {
    int32_t rows;
    int32_t columns_a, columns_b;
} concat_s8_layer;

/* a: [rows][columns_a]; b: [rows][columns_b]; out: [rows][columns_a + columns_b], apart from both. */
void concat_s8(const concat_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out);

#endif
