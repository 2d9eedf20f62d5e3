/* Largest int8 value of each window: see maxpool_s8.h. */
#include "maxpool_s8.h"

static int8_t largest(const maxpool_s8_layer *l, const int8_t *in, int32_t top, int32_t left, int32_t channel)
{
    int32_t best = INT8_MIN;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        const int32_t y = top + (ky * l->dilation_y);
        if (y < 0 || y >= l->in_height) {
            continue;
        }
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t x = left + (kx * l->dilation_x);
            if (x >= 0 && x < l->in_width) {
                const int32_t value = in[(((y * l->in_width) + x) * l->channels) + channel];
                best = (value > best) ? value : best;
            }
        }
    }
    if (l->table != NULL) {
        return l->table[best + 128];
    }
    return (int8_t)best;
}

void maxpool_s8(const maxpool_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        for (int32_t ox = 0; ox < layer->out_width; ++ox) {
            const int32_t top = (oy * layer->stride_y) - layer->pad_top;
            const int32_t left = (ox * layer->stride_x) - layer->pad_left;
            for (int32_t channel = 0; channel < layer->channels; ++channel) {
                *out++ = largest(layer, in, top, left, channel);
            }
        }
    }
}
