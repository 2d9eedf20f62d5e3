/* int8 to float: see dequantize_s8_f32.h. */
#include "dequantize_s8_f32.h"

void dequantize_s8_f32(const dequantize_s8_f32_layer *layer, const int8_t *in, float *out)
{
    for (int32_t i = 0; i < layer->plane; ++i) {
        for (int32_t channel = 0; channel < layer->channels; ++channel) {
            out[(channel * layer->plane) + i] = (float)(*in++ - layer->zero) * layer->scale;
        }
    }
}
