/* Mean of the values of each window of float maps: see averagepool_f32.h. */
#include "averagepool_f32.h"

static float window_sum(const averagepool_f32_layer *l, const float *in, int32_t top, int32_t left, int32_t channel)
{
    float sum = 0.0f;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        const int32_t y = top + (ky * l->dilation_y);
        if (y < 0 || y >= l->in_height) {
            continue;
        }
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t x = left + (kx * l->dilation_x);
            if (x >= 0 && x < l->in_width) {
                sum += in[(((y * l->in_width) + x) * l->channels) + channel];
            }
        }
    }
    return sum;
}

void averagepool_f32(const averagepool_f32_layer *layer, const float *in, float *out)
{
    const int32_t *divisor = layer->divisors;
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        for (int32_t ox = 0; ox < layer->out_width; ++ox) {
            const int32_t top = (oy * layer->stride_y) - layer->pad_top;
            const int32_t left = (ox * layer->stride_x) - layer->pad_left;
            const float count = (float)*divisor++;
            for (int32_t channel = 0; channel < layer->channels; ++channel) {
                const float mean = window_sum(layer, in, top, left, channel) / count;
                *out++ = activation_f32_value(&layer->activation, mean);
            }
        }
    }
}
