/* Transposed convolution of int8 maps: see convtranspose_s8.h. Every output gathers the elements that reach it. */
#include "convtranspose_s8.h"

#include <stddef.h>

/* The row (or column) whose tap lands on `place`; -1 where none does. */
static int32_t source(int32_t place, int32_t tap, int32_t stride, int32_t size)
{
    const int32_t distance = place - tap;
    const int32_t row = distance / stride;
    return (distance >= 0 && row * stride == distance && row < size) ? row : -1;
}

static int32_t dot(const convtranspose_s8_layer *l, const int8_t *x, const int8_t *w, int32_t sum)
{
    const int32_t channels = l->in_channels / l->groups;
    for (int32_t i = 0; i < channels; ++i) {
        sum += (x[i] - l->zero) * w[i];
    }
    return sum;
}

static int8_t output(const convtranspose_s8_layer *l, const int8_t *in, int32_t y, int32_t x, int32_t channel)
{
    const int32_t channels = l->in_channels / l->groups;
    const int32_t first = (channel / (l->out_channels / l->groups)) * channels;
    const int8_t *w = l->weights + ((ptrdiff_t)channel * l->kernel_height * l->kernel_width * channels);
    int32_t sum = l->bias[channel];
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        const int32_t iy = source(y + l->crop_top, ky * l->dilation_y, l->stride_y, l->in_height);
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t ix = source(x + l->crop_left, kx * l->dilation_x, l->stride_x, l->in_width);
            if (iy >= 0 && ix >= 0) {
                sum = dot(l, in + (((((ptrdiff_t)iy * l->in_width) + ix) * l->in_channels) + first), w, sum);
            }
            w += channels;
        }
    }
    return requantize_s8_value(&l->output, sum, channel);
}

void convtranspose_s8(const convtranspose_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t y = 0; y < layer->out_height; ++y) {
        for (int32_t x = 0; x < layer->out_width; ++x) {
            for (int32_t channel = 0; channel < layer->out_channels; ++channel) {
                *out++ = output(layer, in, y, x, channel);
            }
        }
    }
}
