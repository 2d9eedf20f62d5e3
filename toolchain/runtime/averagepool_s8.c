/* Mean of the int8 values of each window: see averagepool_s8.h. */
#include "averagepool_s8.h"

#include <stddef.h>

enum { BLOCK = 16 }; /* channels that are summed side by side, so that a compiler can use vectors */

/* Sums of some channels of a window: of all values, less the zero point, that lie in the map. */
static inline void window_sums(
    const averagepool_s8_layer *l, const int8_t *in, int32_t top, int32_t left, int32_t count, int32_t *sums)
{
    int32_t own[BLOCK] = {0}; /* of which the compiler knows that no map overlaps it */
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        const int32_t y = top + (ky * l->dilation_y);
        for (int32_t kx = 0; y >= 0 && y < l->in_height && kx < l->kernel_width; ++kx) {
            const int32_t x = left + (kx * l->dilation_x);
            if (x >= 0 && x < l->in_width) {
                const int8_t *const pixel = in + ((((ptrdiff_t)y * l->in_width) + x) * l->channels);
                for (int32_t i = 0; i < count; ++i) {
                    own[i] += pixel[i] - l->zero;
                }
            }
        }
    }
    for (int32_t i = 0; i < count; ++i) {
        sums[i] = own[i];
    }
}

void averagepool_s8(const averagepool_s8_layer *layer, const int8_t *in, int8_t *out)
{
    const uint8_t *divisor = layer->divisors;
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        for (int32_t ox = 0; ox < layer->out_width; ++ox) {
            const int32_t top = (oy * layer->stride_y) - layer->pad_top;
            const int32_t left = (ox * layer->stride_x) - layer->pad_left;
            const requantize_s8 *const output = &layer->outputs[*divisor++];
            for (int32_t channel = 0; channel < layer->channels; channel += BLOCK) {
                const int32_t rest = layer->channels - channel;
                const int32_t count = (rest < BLOCK) ? rest : BLOCK;
                int32_t sums[BLOCK];
                if (rest >= BLOCK) {
                    window_sums(layer, in + channel, top, left, BLOCK, sums); /* a number that the compiler knows */
                } else {
                    window_sums(layer, in + channel, top, left, count, sums);
                }
                for (int32_t i = 0; i < count; ++i) {
                    *out++ = requantize_s8_value(output, sums[i], 0);
                }
            }
        }
    }
}
