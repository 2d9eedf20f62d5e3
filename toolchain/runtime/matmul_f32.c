/* Products of float matrices: see matmul_f32.h. A row of the result is a sum of rows of the second matrix. */
#include "matmul_f32.h"

static void row(const matmul_f32_layer *l, const float *a, const float *b, float *out)
{
    for (int32_t j = 0; j < l->columns; ++j) {
        out[j] = 0.0f;
    }
    for (int32_t i = 0; i < l->terms; ++i) {
        for (int32_t j = 0; j < l->columns; ++j) {
            out[j] += a[i] * b[j];
        }
        b += l->columns;
    }
    for (int32_t j = 0; j < l->columns; ++j) {
        out[j] = activation_f32_value(&l->activation, out[j]);
    }
}

void matmul_f32(const matmul_f32_layer *layer, const float *a, const float *b, float *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        for (int32_t j = 0; j < layer->rows; ++j) {
            row(layer, a, b, out);
            a += layer->terms;
            out += layer->columns;
        }
        b += layer->terms * layer->columns;
    }
}
