/* A function of each float: see unary_f32.h. */
#include "unary_f32.h"

void unary_f32(const unary_f32_layer *layer, const float *in, float *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = activation_f32_value(&layer->activation, in[i]);
    }
}
