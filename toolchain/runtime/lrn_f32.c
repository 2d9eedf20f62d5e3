/* Local response normalisation of float maps: see lrn_f32.h. */
#include "lrn_f32.h"

#include <math.h>

void lrn_f32(const lrn_f32_layer *layer, const float *in, float *out)
{
    for (int32_t position = 0; position < layer->positions; ++position) {
        for (int32_t channel = 0; channel < layer->channels; ++channel) {
            const int32_t first = (channel > layer->before) ? channel - layer->before : 0;
            const int32_t end = (layer->channels - channel > layer->after) ? channel + layer->after + 1 : layer->channels;
            float squares = 0.0f;
            for (int32_t i = first; i < end; ++i) {
                squares += in[i] * in[i];
            }
            out[channel] = in[channel] / powf(layer->bias + (layer->weight * squares), layer->beta);
        }
        in += layer->channels;
        out += layer->channels;
    }
}
