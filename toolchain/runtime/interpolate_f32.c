/* Float maps of another size: see interpolate_f32.h. */
#include "interpolate_f32.h"

#include <stddef.h>

static void pixel(const interpolate_f32_layer *l, const float *in, int32_t y, int32_t x, float *out)
{
    const int32_t *const rows = l->rows + ((ptrdiff_t)y * l->row_taps);
    const int32_t *const columns = l->columns + ((ptrdiff_t)x * l->column_taps);
    const float *const row_weights = l->row_weights + ((ptrdiff_t)y * l->row_taps);
    const float *const column_weights = l->column_weights + ((ptrdiff_t)x * l->column_taps);
    for (int32_t channel = 0; channel < l->channels; ++channel) {
        out[channel] = 0.0f;
    }
    for (int32_t i = 0; i < l->row_taps; ++i) {
        for (int32_t j = 0; j < l->column_taps; ++j) {
            const float *const from = in + ((((ptrdiff_t)rows[i] * l->in_width) + columns[j]) * l->channels);
            const float weight = row_weights[i] * column_weights[j];
            for (int32_t channel = 0; channel < l->channels; ++channel) {
                out[channel] += weight * from[channel];
            }
        }
    }
    for (int32_t channel = 0; channel < l->channels; ++channel) {
        out[channel] = activation_f32_value(&l->activation, out[channel]);
    }
}

void interpolate_f32(const interpolate_f32_layer *layer, const float *in, float *out)
{
    for (int32_t y = 0; y < layer->out_height; ++y) {
        for (int32_t x = 0; x < layer->out_width; ++x) {
            pixel(layer, in, y, x, out);
            out += layer->channels;
        }
    }
}
