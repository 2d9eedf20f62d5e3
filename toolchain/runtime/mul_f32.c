/* Product of two float tensors: see mul_f32.h. */
#include "mul_f32.h"

void mul_f32(const mul_f32_layer *layer, const float *a, const float *b, float *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = activation_f32_value(&layer->activation, a[i] * b[i]);
    }
}
