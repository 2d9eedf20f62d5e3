/* Mean of the int8 values of each window: see averagepool_s8.h. */
#include "averagepool_s8.h"

static int32_t window_sum(const averagepool_s8_layer *l, const int8_t *in, int32_t top, int32_t left, int32_t channel)
{
    int32_t sum = 0;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        const int32_t y = top + (ky * l->dilation_y);
        if (y < 0 || y >= l->in_height) {
            continue;
        }
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t x = left + (kx * l->dilation_x);
            if (x >= 0 && x < l->in_width) {
                sum += in[(((y * l->in_width) + x) * l->channels) + channel] - l->zero;
            }
        }
    }
    return sum;
}

void averagepool_s8(const averagepool_s8_layer *layer, const int8_t *in, int8_t *out)
{
    const uint8_t *divisor = layer->divisors;
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        for (int32_t ox = 0; ox < layer->out_width; ++ox) {
            const int32_t top = (oy * layer->stride_y) - layer->pad_top;
            const int32_t left = (ox * layer->stride_x) - layer->pad_left;
            const requantize_s8 *const output = &layer->outputs[*divisor++];
            for (int32_t channel = 0; channel < layer->channels; ++channel) {
                *out++ = requantize_s8_value(output, window_sum(layer, in, top, left, channel), 0);
            }
        }
    }
}
