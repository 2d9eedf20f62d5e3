/* Convolution of one float map along its rows: see convrow_f32.h.
 *
 * A vector holds neighbouring outputs of one channel, so that channels too few to fill one cost nothing. */
#include "convrow_f32.h"

#include <stddef.h>
#include <string.h>

#include "activationwide_f32.h"

enum { SPAN = 2 * VF32_LANES }; /* outputs of a row that are computed together */

/* Copies the map with zeros around it. */
static void copy(const convrow_f32_layer *l, const float *in, int32_t rows, float *to)
{
    const int32_t held = (l->in_width < l->pitch - l->pad_left) ? l->in_width : l->pitch - l->pad_left;
    memset(to, 0, (size_t)rows * (size_t)l->pitch * sizeof *to);
    for (int32_t row = 0; row < rows; ++row) {
        const int32_t y = row - l->pad_top;
        if (y >= 0 && y < l->in_height) {
            memcpy(to + l->pad_left, in + ((ptrdiff_t)y * l->in_width), (size_t)held * sizeof *to);
        }
        to += l->pitch;
    }
}

#define EACH4(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH6(DO) EACH4(DO) DO(4) DO(5)
#define START(k) vf32 a##k = vf32_splat(bias[k]), b##k = a##k;
#define STEP(k) \
    { \
        const vf32 w = vf32_splat(weights[k]); \
        a##k = vf32_fma(low, w, a##k); \
        b##k = vf32_fma(high, w, b##k); \
    }
#define STORE(k) \
    vf32_store(sums + ((k) * SPAN), a##k); \
    vf32_store(sums + ((k) * SPAN) + VF32_LANES, b##k);

/* sums[channel][SPAN] of the row whose first tap is at `from`. */
#define ROW(name, EACH, together) \
    static void name( \
        const convrow_f32_layer *l, const float *from, const float *weights, const float *bias, float *sums) \
    { \
        EACH(START) \
        for (int32_t ky = 0; ky < l->kernel_height; ++ky) { \
            for (int32_t kx = 0; kx < l->kernel_width; ++kx) { \
                const vf32 low = vf32_load(from + kx); \
                const vf32 high = vf32_load(from + kx + VF32_LANES); \
                EACH(STEP) \
                weights += (together); \
            } \
            from += l->pitch; \
        } \
        EACH(STORE) \
    }

ROW(row4, EACH4, 4)
ROW(row6, EACH6, 6)

static void one_row(const convrow_f32_layer *l, const float *from, int32_t first, float *sums)
{
    const ptrdiff_t taps = (ptrdiff_t)l->kernel_height * l->kernel_width;
    if (l->together == 6) {
        row6(l, from, l->weights + (first * taps), l->bias + first, sums);
    } else {
        row4(l, from, l->weights + (first * taps), l->bias + first, sums);
    }
}

/* The pool of two rows of sums: [channel][VF32_LANES] from two [channel][SPAN]. */
static void pool(const convrow_f32_layer *l, const float *upper, const float *lower, float *to)
{
    const vf32 quarter = vf32_splat(0.25f);
    for (int32_t k = 0; k < l->together; ++k) {
        const vf32 a = vf32_load(upper + (k * SPAN));
        const vf32 b = vf32_load(upper + (k * SPAN) + VF32_LANES);
        const vf32 c = vf32_load(lower + (k * SPAN));
        const vf32 d = vf32_load(lower + (k * SPAN) + VF32_LANES);
        if (l->pool == CONVROW_F32_MAX_POOL) {
            const vf32 left = vf32_max(a, c);
            const vf32 right = vf32_max(b, d);
            vf32_store(to + (k * VF32_LANES), vf32_max(vf32_even(left, right), vf32_odd(left, right)));
        } else {
            const vf32 left = vf32_add(a, c);
            const vf32 right = vf32_add(b, d);
            const vf32 sum = vf32_add(vf32_even(left, right), vf32_odd(left, right));
            vf32_store(to + (k * VF32_LANES), vf32_mul(quarter, sum));
        }
    }
}

/* Channel after channel, `pitch` floats apart, becomes pixel after pixel. */
static void
turn(const float *values, int32_t pitch, int32_t channels, int32_t pixels, float *out, int32_t out_channels)
{
    for (int32_t x = 0; x < pixels; ++x) {
        if (channels == 4) { /* most often, and side by side */
            const float pixel[4] = {values[x], values[pitch + x], values[(2 * pitch) + x], values[(3 * pitch) + x]};
            memcpy(out, pixel, sizeof pixel);
        } else {
            for (int32_t k = 0; k < channels; ++k) {
                out[k] = values[(k * pitch) + x];
            }
        }
        out += out_channels;
    }
}

/* Some channels of up to SPAN outputs, or of half as many behind a pool; `from` is the first tap. */
static void one_span(const convrow_f32_layer *l, const float *from, int32_t first, int32_t pixels, float *out)
{
    const ptrdiff_t size = (ptrdiff_t)l->together * SPAN;
    const int32_t left = l->out_channels - first;
    const int32_t channels = (left < l->together) ? left : l->together;
    float sums[2 * CONVROW_F32_CHANNELS * SPAN];
    one_row(l, from, first, sums);
    if (l->pool == CONVROW_F32_NO_POOL) {
        activationwide_f32(&l->activation, sums, size);
        turn(sums, SPAN, channels, pixels, out, l->out_channels);
    } else {
        const int late = l->pool == CONVROW_F32_MAX_POOL && activationwide_f32_rises(&l->activation);
        float results[CONVROW_F32_CHANNELS * VF32_LANES];
        one_row(l, from + ((ptrdiff_t)l->stride_y * l->pitch), first, sums + size);
        if (!late) {
            activationwide_f32(&l->activation, sums, 2 * size);
        }
        pool(l, sums, sums + size, results);
        if (late) {
            activationwide_f32(&l->activation, results, size / 2);
        }
        turn(results, VF32_LANES, channels, pixels, out, l->out_channels);
    }
}

void convrow_f32(const convrow_f32_layer *layer, const float *in, float *out, float *scratch)
{
    const convrow_f32_layer *const l = layer;
    const int32_t shrink = (l->pool == CONVROW_F32_NO_POOL) ? 1 : 2;
    const int32_t step = SPAN / shrink;
    copy(l, in, (((l->out_height * shrink) - 1) * l->stride_y) + l->kernel_height, scratch);
    for (int32_t y = 0; y < l->out_height; ++y) {
        const float *const from = scratch + ((ptrdiff_t)y * shrink * l->stride_y * l->pitch);
        for (int32_t x = 0; x < l->out_width; x += step) {
            const int32_t left = l->out_width - x;
            float *const to = out + ((((ptrdiff_t)y * l->out_width) + x) * l->out_channels);
            for (int32_t first = 0; first < l->out_channels; first += l->together) {
                one_span(l, from + ((ptrdiff_t)x * shrink), first, (left < step) ? left : step, to + first);
            }
        }
    }
}
