/* Mean of the values of each window of float maps: see averagepool_f32.h. */
#include "averagepool_f32.h"

#include <stddef.h>

enum { BLOCK = 16 }; /* channels that are summed side by side, so that a compiler can use vectors */

/* Sums of some channels of a window: of all values that lie in the map. */
static inline void window_sums(
    const averagepool_f32_layer *l, const float *in, int32_t top, int32_t left, int32_t count, float *sums)
{
    for (int32_t i = 0; i < count; ++i) {
        sums[i] = 0.0f;
    }
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        const int32_t y = top + (ky * l->dilation_y);
        for (int32_t kx = 0; y >= 0 && y < l->in_height && kx < l->kernel_width; ++kx) {
            const int32_t x = left + (kx * l->dilation_x);
            if (x >= 0 && x < l->in_width) {
                const float *const pixel = in + ((((ptrdiff_t)y * l->in_width) + x) * l->channels);
                for (int32_t i = 0; i < count; ++i) {
                    sums[i] += pixel[i];
                }
            }
        }
    }
}

void averagepool_f32(const averagepool_f32_layer *layer, const float *in, float *out)
{
    const int32_t *divisor = layer->divisors;
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        for (int32_t ox = 0; ox < layer->out_width; ++ox) {
            const int32_t top = (oy * layer->stride_y) - layer->pad_top;
            const int32_t left = (ox * layer->stride_x) - layer->pad_left;
            const float size = (float)*divisor++;
            for (int32_t channel = 0; channel < layer->channels; channel += BLOCK) {
                const int32_t rest = layer->channels - channel;
                const int32_t count = (rest < BLOCK) ? rest : BLOCK;
                float sums[BLOCK];
                if (rest >= BLOCK) {
                    window_sums(layer, in + channel, top, left, BLOCK, sums); /* a number that the compiler knows */
                } else {
                    window_sums(layer, in + channel, top, left, count, sums);
                }
                for (int32_t i = 0; i < count; ++i) {
                    *out++ = activation_f32_value(&layer->activation, sums[i] / size);
                }
            }
        }
    }
}
