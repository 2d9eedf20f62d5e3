/* Sum of two float tensors: see add_f32.h. */
#include "add_f32.h"

void add_f32(const add_f32_layer *layer, const float *a, const float *b, float *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = activation_f32_value(&layer->activation, a[i] + (layer->sign * b[i]));
    }
}
