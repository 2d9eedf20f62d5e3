/* Convolution of float maps: see conv_f32.h.
 *
 * Each input value meets a block of output channels, whose weights lie side by side, so that a compiler vectorises
 * over channels and the order of summation is the same everywhere. Four windows share each block of weights. */
#include "conv_f32.h"

#include <stddef.h>
#include <string.h>

typedef struct {
    const float *start[CONV_F32_POOL_AREA];
    int32_t rows; /* runs of `run` floats, `pitch` floats apart */
    int32_t run;
    int32_t pitch;
} windows;

typedef float block[CONV_F32_BLOCK];

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

static void dot4(const windows *w, int32_t first, const float *weights, const float *bias, block *sums)
{
    const float *x0 = w->start[first];
    const float *x1 = w->start[first + 1];
    const float *x2 = w->start[first + 2];
    const float *x3 = w->start[first + 3];
    block s0;
    block s1;
    block s2;
    block s3;
    for (int32_t c = 0; c < CONV_F32_BLOCK; ++c) {
        s0[c] = bias[c];
        s1[c] = bias[c];
        s2[c] = bias[c];
        s3[c] = bias[c];
    }
    for (int32_t row = 0; row < w->rows; ++row) {
        for (int32_t i = 0; i < w->run; ++i) {
            for (int32_t c = 0; c < CONV_F32_BLOCK; ++c) {
                s0[c] += x0[i] * weights[c];
                s1[c] += x1[i] * weights[c];
                s2[c] += x2[i] * weights[c];
                s3[c] += x3[i] * weights[c];
            }
            weights += CONV_F32_BLOCK;
        }
        x0 += w->pitch;
        x1 += w->pitch;
        x2 += w->pitch;
        x3 += w->pitch;
    }
    memcpy(sums[0], s0, sizeof s0);
    memcpy(sums[1], s1, sizeof s1);
    memcpy(sums[2], s2, sizeof s2);
    memcpy(sums[3], s3, sizeof s3);
}

static void dot1(const windows *w, int32_t index, const float *weights, const float *bias, float *sums)
{
    const float *x = w->start[index];
    block s;
    memcpy(s, bias, sizeof s);
    for (int32_t row = 0; row < w->rows; ++row) {
        for (int32_t i = 0; i < w->run; ++i) {
            for (int32_t c = 0; c < CONV_F32_BLOCK; ++c) {
                s[c] += x[i] * weights[c];
            }
            weights += CONV_F32_BLOCK;
        }
        x += w->pitch;
    }
    memcpy(sums, s, sizeof s);
}

static int inside(const conv_f32_layer *l, int32_t y, int32_t x)
{
    return y >= 0 && x >= 0 && y + l->kernel_height <= l->in_height && x + l->kernel_width <= l->in_width;
}

/* Copies the window whose first tap is at (y, x) of the channels from `channel` on, with zeros where it leaves the
 * map. */
static void gather(const conv_f32_layer *l, const float *in, int32_t y, int32_t x, int32_t channel, float *patch)
{
    const int32_t depth = l->in_channels / l->groups;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky) {
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t row = y + (ky * l->dilation_y);
            const int32_t column = x + (kx * l->dilation_x);
            const int held = row >= 0 && row < l->in_height && column >= 0 && column < l->in_width;
            const float *const from = in + (held ? (((row * l->in_width) + column) * l->in_channels) + channel : 0);
            for (int32_t i = 0; i < depth; ++i) {
                patch[i] = held ? from[i] : 0.0f;
            }
            patch += depth;
        }
    }
}

/* The windows of convolution outputs of one pool, or of up to four in a row without a pool. */
static int32_t find_windows(
    const conv_f32_layer *l, const float *in, int32_t oy, int32_t ox, int32_t group, float *patches, windows *w)
{
    const int32_t wide = (l->pool != CONV_F32_NO_POOL) ? l->pool_width : smaller(4, l->out_width - ox);
    const int32_t count = wide * l->pool_height;
    const int32_t top = (oy * l->pool_height * l->stride_y) - l->pad_top;
    const int32_t left = (ox * l->pool_width * l->stride_x) - l->pad_left;
    const int32_t depth = l->in_channels / l->groups;
    const int32_t bottom = top + ((l->pool_height - 1) * l->stride_y);
    const int32_t right = left + ((wide - 1) * l->stride_x);
    const int in_place = l->groups == 1 && l->dilation_y == 1 && l->dilation_x == 1 && inside(l, top, left) &&
                         inside(l, bottom, right);
    w->rows = in_place ? l->kernel_height : 1;
    w->run = in_place ? l->kernel_width * depth : l->kernel_height * l->kernel_width * depth;
    w->pitch = l->in_width * l->in_channels;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t y = top + ((i / wide) * l->stride_y);
        const int32_t x = left + ((i % wide) * l->stride_x);
        if (in_place) {
            w->start[i] = in + (((y * l->in_width) + x) * l->in_channels);
        } else {
            float *const patch = patches + (i * w->run);
            gather(l, in, y, x, group * depth, patch);
            w->start[i] = patch;
        }
    }
    return count;
}

/* One pixel of the pool's output from the sums of its windows. */
static float pooled_value(const conv_f32_layer *l, const block *sums, int32_t count, int32_t channel)
{
    float result = activation_f32_value(&l->activation, sums[0][channel]);
    for (int32_t i = 1; i < count; ++i) {
        const float value = activation_f32_value(&l->activation, sums[i][channel]);
        if (l->pool == CONV_F32_AVERAGE_POOL) {
            result += value;
        } else if (!(result >= value)) { /* a NaN wins, and stays */
            result = (result == result) ? value : result;
        }
    }
    return (l->pool == CONV_F32_AVERAGE_POOL) ? result / (float)count : result;
}

static void one_block(
    const conv_f32_layer *l, const windows *w, int32_t count, ptrdiff_t index, int32_t channels, float *pixel)
{
    const int32_t taps = l->kernel_height * l->kernel_width * (l->in_channels / l->groups);
    const float *const weights = l->weights + (index * taps * CONV_F32_BLOCK);
    const float *const bias = l->bias + (index * CONV_F32_BLOCK);
    block sums[CONV_F32_POOL_AREA];
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        dot4(w, i, weights, bias, sums + i);
    }
    for (; i < count; ++i) {
        dot1(w, i, weights, bias, sums[i]);
    }
    for (int32_t c = 0; c < channels; ++c) {
        if (l->pool != CONV_F32_NO_POOL) {
            pixel[c] = pooled_value(l, (const block *)sums, count, c);
        } else {
            for (int32_t k = 0; k < count; ++k) {
                pixel[(k * l->out_channels) + c] = activation_f32_value(&l->activation, sums[k][c]);
            }
        }
    }
}

void conv_f32(const conv_f32_layer *layer, const float *in, float *out, float *patches)
{
    const conv_f32_layer *const l = layer;
    const int32_t channels = l->out_channels / l->groups;
    const int32_t blocks = (channels + CONV_F32_BLOCK - 1) / CONV_F32_BLOCK;
    for (int32_t oy = 0; oy < l->out_height; ++oy) {
        int32_t made = 1;
        for (int32_t ox = 0; ox < l->out_width; ox += made) {
            float *const pixel = out + (((oy * l->out_width) + ox) * l->out_channels);
            made = (l->pool != CONV_F32_NO_POOL) ? 1 : smaller(4, l->out_width - ox);
            for (int32_t group = 0; group < l->groups; ++group) {
                windows w;
                const int32_t count = find_windows(l, in, oy, ox, group, patches, &w);
                for (int32_t b = 0; b < blocks; ++b) {
                    const int32_t first = b * CONV_F32_BLOCK;
                    const ptrdiff_t index = ((ptrdiff_t)group * blocks) + b;
                    float *const to = pixel + (group * channels) + first;
                    one_block(l, &w, count, index, smaller(CONV_F32_BLOCK, channels - first), to);
                }
            }
        }
    }
}
