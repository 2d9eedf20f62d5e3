/* Depthwise convolution of float maps: see depthwise_f32.h. */
#include "depthwise_f32.h"

#include <stddef.h>
#include <string.h>

#include "activationwide_f32.h"

enum { TOGETHER = 4 }; /* neighbouring outputs of a row, which share the weights that are loaded */

/* The windows of neighbouring outputs, whose taps are as far apart as they are. */
typedef struct {
    const float *taps[DEPTHWISE_F32_TAPS]; /* of the first */
    int32_t area;
    int32_t count;
    ptrdiff_t stride; /* floats from the taps of one to those of the next */
} windows_f32;

/* One channel, where there is no whole vector left. */
static float one_sum(const depthwise_f32_layer *l, const windows_f32 *w, ptrdiff_t at, int32_t channel)
{
    const float *weight = l->weights + channel;
    float sum = l->bias[channel];
    for (int32_t t = 0; t < w->area; ++t) {
        sum += w->taps[t][at + channel] * *weight;
        weight += l->in_channels;
    }
    return sum;
}

/* All channels of the output whose taps lie `at` floats from those of the first. */
static void one_pixel(const depthwise_f32_layer *l, const windows_f32 *w, ptrdiff_t at, float *out)
{
    int32_t c = 0;
    for (; c + VF32_LANES <= l->in_channels; c += VF32_LANES) {
        const float *weights = l->weights + c;
        vf32 sum = vf32_load(l->bias + c);
        for (int32_t t = 0; t < w->area; ++t) {
            sum = vf32_fma(vf32_load(w->taps[t] + at + c), vf32_load(weights), sum);
            weights += l->in_channels;
        }
        vf32_store(out + c, sum);
    }
    for (; c < l->in_channels; ++c) {
        out[c] = one_sum(l, w, at, c);
    }
}

/* The same of four neighbours. */
static void four_pixels(const depthwise_f32_layer *l, const windows_f32 *w, ptrdiff_t at, float *out)
{
    const int32_t channels = l->in_channels;
    int32_t c = 0;
    for (; c + VF32_LANES <= channels; c += VF32_LANES) {
        const float *weights = l->weights + c;
        vf32 s0 = vf32_load(l->bias + c);
        vf32 s1 = s0;
        vf32 s2 = s0;
        vf32 s3 = s0;
        for (int32_t t = 0; t < w->area; ++t) {
            const float *const x = w->taps[t] + at + c;
            const vf32 weight = vf32_load(weights);
            s0 = vf32_fma(vf32_load(x), weight, s0);
            s1 = vf32_fma(vf32_load(x + w->stride), weight, s1);
            s2 = vf32_fma(vf32_load(x + (2 * w->stride)), weight, s2);
            s3 = vf32_fma(vf32_load(x + (3 * w->stride)), weight, s3);
            weights += channels;
        }
        vf32_store(out + c, s0);
        vf32_store(out + channels + c, s1);
        vf32_store(out + ((ptrdiff_t)2 * channels) + c, s2);
        vf32_store(out + ((ptrdiff_t)3 * channels) + c, s3);
    }
    for (; c < channels; ++c) {
        for (int32_t i = 0; i < TOGETHER; ++i) {
            out[((ptrdiff_t)i * channels) + c] = one_sum(l, w, at + (i * w->stride), c);
        }
    }
}

/* Where the taps of the window at (top, left) lie: in the map, or else at the pixel of padding. */
static void find_taps(
    const depthwise_f32_layer *l, const float *in, int32_t top, int32_t left, const float *pixel, windows_f32 *w)
{
    int32_t y = top;
    int32_t x = left;
    int32_t column = 0;
    for (int32_t t = 0; t < w->area; ++t) {
        const int held = y >= 0 && y < l->in_height && x >= 0 && x < l->in_width;
        w->taps[t] = held ? in + ((((ptrdiff_t)y * l->in_width) + x) * l->in_channels) : pixel;
        x += l->dilation_x;
        ++column;
        if (column == l->kernel_width) {
            column = 0;
            x = left;
            y += l->dilation_y;
        }
    }
}

/* How many outputs of a row, of at most `most`, have windows that lie in the map, the first of them at (top, left). */
static int32_t inside(const depthwise_f32_layer *l, int32_t top, int32_t left, int32_t most)
{
    const int32_t bottom = top + ((l->kernel_height - 1) * l->dilation_y);
    const int32_t space = l->in_width - 1 - (left + ((l->kernel_width - 1) * l->dilation_x));
    if (top < 0 || bottom >= l->in_height || left < 0 || space < 0) {
        return 0;
    }
    const int32_t count = (space / l->stride_x) + 1;
    return (count < most) ? count : most;
}

/* All channels of the windows. */
static void all_channels(const depthwise_f32_layer *l, const windows_f32 *w, float *out)
{
    int32_t i = 0;
    for (; i + TOGETHER <= w->count; i += TOGETHER) {
        four_pixels(l, w, i * w->stride, out + ((ptrdiff_t)i * l->out_channels));
    }
    for (; i < w->count; ++i) {
        one_pixel(l, w, i * w->stride, out + ((ptrdiff_t)i * l->out_channels));
    }
}

/* The activation of a row of outputs. */
static void activate(const activation_f32 *a, float *values, ptrdiff_t count)
{
    const ptrdiff_t whole = count - (count % VF32_LANES);
    activationwide_f32(a, values, whole);
    for (ptrdiff_t i = whole; i < count; ++i) {
        values[i] = activation_f32_value(a, values[i]);
    }
}

void depthwise_f32(const depthwise_f32_layer *layer, const float *in, float *out, float *pixel)
{
    const depthwise_f32_layer *const l = layer;
    windows_f32 w;
    w.area = l->kernel_height * l->kernel_width;
    w.stride = (ptrdiff_t)l->stride_x * l->in_channels;
    memset(pixel, 0, (size_t)l->in_channels * sizeof *pixel);
    for (int32_t oy = 0; oy < l->out_height; ++oy) {
        const int32_t top = (oy * l->stride_y) - l->pad_top;
        for (int32_t ox = 0; ox < l->out_width; ox += w.count) {
            const int32_t left = (ox * l->stride_x) - l->pad_left;
            w.count = inside(l, top, left, l->out_width - ox);
            w.count = (w.count > 0) ? w.count : 1;
            find_taps(l, in, top, left, pixel, &w);
            all_channels(l, &w, out + ((ptrdiff_t)ox * l->out_channels));
        }
        activate(&l->activation, out, (ptrdiff_t)l->out_width * l->out_channels);
        out += (ptrdiff_t)l->out_width * l->out_channels;
    }
}
