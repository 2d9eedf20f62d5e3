/* Convolution of int8 maps: see conv_s8.h.
 *
 * Four windows at a time share each weight that is loaded: the four pixels of a 2x2 pool, or four neighbours in a
 * row. A window whose rows lie in the map is read in place; any other is gathered first. */
#include "conv_s8.h"

#include <string.h>

#include "dot_s8.h"

typedef struct {
    const int8_t *start[CONV_S8_POOL_AREA];
    dot_s8_shape shape;
} windows;

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

static void dots(const windows *w, int32_t count, const int8_t *weights, int32_t bias, int32_t *sums)
{
    const int32_t biases[4] = {bias, bias, bias, bias};
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        dot_s8_four(&w->shape, weights, w->start + i, biases, sums + i);
    }
    for (; i < count; ++i) {
        sums[i] = dot_s8_one(&w->shape, weights, w->start[i], bias);
    }
}

static int inside(const conv_s8_layer *l, int32_t y, int32_t x)
{
    return y >= 0 && x >= 0 && y + l->kernel_height <= l->in_height && x + l->kernel_width <= l->in_width;
}

/* Copies the window whose first tap is at (y, x) of the channels from `channel` on, with padding where it leaves
 * the map. */
static void gather(const conv_s8_layer *l, const int8_t *in, int32_t y, int32_t x, int32_t channel, int8_t *patch)
{
    const int32_t depth = l->in_channels / l->groups;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t row = y + (ky * l->dilation_y);
            const int32_t column = x + (kx * l->dilation_x);
            if (row >= 0 && row < l->in_height && column >= 0 && column < l->in_width) {
                memcpy(patch, in + (((row * l->in_width) + column) * l->in_channels) + channel, (size_t)depth);
            } else {
                memset(patch, l->padding, (size_t)depth);
            }
            patch += depth;
        }
    }
}

/* The windows of convolution outputs `count` wide and `l->pool_height` high, or of `count` in a row without a pool. */
static int32_t find_windows(
    const conv_s8_layer *l, const int8_t *in, int32_t oy, int32_t ox, int32_t group, int8_t *patches, windows *w)
{
    const int32_t pooled = l->pool != CONV_S8_NO_POOL;
    const int32_t wide = pooled ? l->pool_width : smaller(4, l->out_width - ox);
    const int32_t count = wide * l->pool_height;
    const int32_t top = (oy * l->pool_height * l->stride_y) - l->pad_top;
    const int32_t left = (ox * l->pool_width * l->stride_x) - l->pad_left;
    const int32_t depth = l->in_channels / l->groups;
    const int32_t bottom = top + ((l->pool_height - 1) * l->stride_y);
    const int32_t right = left + ((wide - 1) * l->stride_x);
    const int in_place = l->groups == 1 && l->dilation_y == 1 && l->dilation_x == 1 && inside(l, top, left) &&
                         inside(l, bottom, right);
    w->shape.rows = in_place ? l->kernel_height : 1;
    w->shape.run = in_place ? l->kernel_width * depth : l->kernel_height * l->kernel_width * depth;
    w->shape.shared_pitch = w->shape.run;
    w->shape.pitch = l->in_width * l->in_channels;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t y = top + ((i / wide) * l->stride_y);
        const int32_t x = left + ((i % wide) * l->stride_x);
        if (in_place) {
            w->start[i] = in + (((y * l->in_width) + x) * l->in_channels);
        } else {
            int8_t *const patch = patches + (i * w->shape.run);
            gather(l, in, y, x, group * depth, patch);
            w->start[i] = patch;
        }
    }
    return count;
}

/* A single window against all channels of its group: here the window is shared, by four channels at a time. */
static void lone_window(const conv_s8_layer *l, const windows *w, int32_t first, int32_t end, int32_t taps, int8_t *pixel)
{
    const dot_s8_shape shape = {w->shape.rows, w->shape.run, w->shape.pitch, w->shape.run};
    int32_t channel = first;
    for (; channel + 4 <= end; channel += 4) {
        const int8_t *const row = l->weights + ((ptrdiff_t)channel * taps);
        const int8_t *const rows[4] = {row, row + taps, row + ((ptrdiff_t)2 * taps), row + ((ptrdiff_t)3 * taps)};
        int32_t sums[4];
        dot_s8_four(&shape, w->start[0], rows, l->bias + channel, sums);
        for (int32_t i = 0; i < 4; ++i) {
            pixel[channel + i] = requantize_s8_value(&l->output, sums[i], channel + i);
        }
    }
    for (; channel < end; ++channel) {
        const int8_t *const row = l->weights + ((ptrdiff_t)channel * taps);
        const int32_t sum = dot_s8_one(&w->shape, row, w->start[0], l->bias[channel]);
        pixel[channel] = requantize_s8_value(&l->output, sum, channel);
    }
}

static int8_t pooled_value(const conv_s8_layer *l, const int32_t *sums, int32_t count, int32_t channel)
{
    if (l->pool == CONV_S8_MAX_POOL) {
        int32_t best = sums[0]; /* the output rises with the accumulator */
        for (int32_t i = 1; i < count; ++i) {
            best = (sums[i] > best) ? sums[i] : best;
        }
        return requantize_s8_value(&l->output, best, channel);
    }
    int32_t total = l->mean_bias;
    for (int32_t i = 0; i < count; ++i) {
        total += requantize_s8_value(&l->output, sums[i], channel);
    }
    return requantize_s8_value(&l->mean, total, 0);
}

void conv_s8(const conv_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *patches)
{
    const conv_s8_layer *const l = layer;
    const int32_t taps = l->kernel_height * l->kernel_width * (l->in_channels / l->groups);
    const int32_t channels = l->out_channels / l->groups;
    const int32_t pooled = l->pool != CONV_S8_NO_POOL;
    for (int32_t oy = 0; oy < l->out_height; ++oy) {
        int32_t made = 1;
        for (int32_t ox = 0; ox < l->out_width; ox += made) {
            int8_t *const pixel = out + (((oy * l->out_width) + ox) * l->out_channels);
            made = pooled ? 1 : smaller(4, l->out_width - ox);
            for (int32_t group = 0; group < l->groups; ++group) {
                windows w;
                const int32_t count = find_windows(l, in, oy, ox, group, patches, &w);
                const int32_t end = (group + 1) * channels;
                if (count == 1) {
                    lone_window(l, &w, group * channels, end, taps, pixel);
                    continue;
                }
                for (int32_t channel = group * channels; channel < end; ++channel) {
                    int32_t sums[CONV_S8_POOL_AREA];
                    dots(&w, count, l->weights + ((ptrdiff_t)channel * taps), l->bias[channel], sums);
                    if (pooled) {
                        pixel[channel] = pooled_value(l, sums, count, channel);
                    } else {
                        for (int32_t i = 0; i < count; ++i) {
                            pixel[(i * l->out_channels) + channel] = requantize_s8_value(&l->output, sums[i], channel);
                        }
                    }
                }
            }
        }
    }
}
