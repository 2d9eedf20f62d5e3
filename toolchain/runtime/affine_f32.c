/* A factor and an addend for each channel of a float tensor: see affine_f32.h. */
#include "affine_f32.h"

void affine_f32(const affine_f32_layer *layer, const float *in, float *out)
{
    int32_t i = 0;
    while (i < layer->count) {
        for (int32_t channel = 0; channel < layer->channels; ++channel) {
            const float factor = layer->factors[channel];
            const float addend = layer->addends[channel];
            for (int32_t last = i + layer->repeat; i < last; ++i) {
                out[i] = activation_f32_value(&layer->activation, (in[i] * factor) + addend);
            }
        }
    }
}
