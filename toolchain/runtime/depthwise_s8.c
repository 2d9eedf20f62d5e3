/* Depthwise convolution of int8 maps: see depthwise_s8.h. */
#include "depthwise_s8.h"

#include <string.h>

#include "depthwise_s8_vectors.h"
#include "requantize_block_s8.h"
#include "requantize_round_s8.h"
#if defined(__ARM_FEATURE_DSP)
#include "depthwise_s8_dsp.h"
#endif

enum {
    BLOCK = REQUANTIZE_S8_BLOCK, /* channels that are computed together */
    TOGETHER = 16                /* windows that are found together, and whose sums vectors compute together */
};

/* The windows of neighbouring outputs. */
typedef struct {
    const int8_t *taps[DEPTHWISE_S8_TAPS + 1]; /* of the first */
    int32_t area;
    int32_t count;
    ptrdiff_t stride; /* from the taps of one to those of the next */
} windows_s8;

#if !defined(__ARM_FEATURE_DSP)
/* Two taps of four channels. */
static inline void depthwise_s8_two_taps(const int8_t *a, const int8_t *b, const int16_t *weights, int32_t *sums)
{
    sums[0] += (a[0] * weights[0]) + (b[0] * weights[1]);
    sums[1] += (a[1] * weights[2]) + (b[1] * weights[3]);
    sums[2] += (a[2] * weights[4]) + (b[2] * weights[5]);
    sums[3] += (a[3] * weights[6]) + (b[3] * weights[7]);
}
#endif

/* Four channels of one output, from channel `c` on. */
static void four_channels(const depthwise_s8_layer *l, const windows_s8 *w, ptrdiff_t at, int32_t c, int32_t *sums)
{
    const int16_t *weights = l->weights + ((ptrdiff_t)2 * c);
    const ptrdiff_t pitch = (ptrdiff_t)2 * l->in_channels;
    const int8_t *const *const end = w->taps + w->area;
    int32_t s[4] = {l->bias[c], l->bias[c + 1], l->bias[c + 2], l->bias[c + 3]};
    at += c;
    for (const int8_t *const *tap = w->taps; tap < end; tap += 2) {
        depthwise_s8_two_taps(tap[0] + at, tap[1] + at, weights, s);
        weights += pitch;
    }
    memcpy(sums, s, sizeof s);
}

static int32_t one_channel(const depthwise_s8_layer *l, const windows_s8 *w, ptrdiff_t at, int32_t c)
{
    const int16_t *weights = l->weights + ((ptrdiff_t)2 * c);
    int32_t sum = l->bias[c];
    for (int32_t t = 0; t < w->area; t += 2) {
        sum += (w->taps[t][at + c] * weights[0]) + (w->taps[t + 1][at + c] * weights[1]);
        weights += (ptrdiff_t)2 * l->in_channels;
    }
    return sum;
}

static void round_channels(const requantize_s8 *q, const int32_t *sums, int32_t channel, int32_t count, int8_t *out)
{
    if (requantize_s8_plain_high(q)) {
        const int32_t *const multipliers = q->multipliers + channel;
        const int32_t shift = q->shift;
        const int32_t zero = q->zero;
        for (int32_t i = 0; i < count; ++i) {
            out[i] = requantize_s8_saturated(requantize_s8_high(sums[i], multipliers[i], shift) + zero);
        }
        return;
    }
    for (int32_t i = 0; i < count; ++i) {
        out[i] = requantize_s8_value(q, sums[i], channel + i);
    }
}

/* Some channels of the windows, of at most a block. */
static void some_channels(const depthwise_s8_layer *l, const windows_s8 *w, int32_t c, int32_t count, int8_t *out)
{
    const int32_t fours = count & ~3;
    int32_t sums[BLOCK] = {0};
    for (int32_t i = 0; i < w->count; ++i) {
        const ptrdiff_t at = i * w->stride;
        for (int32_t k = 0; k < fours; k += 4) {
            four_channels(l, w, at, c + k, sums + k);
        }
        for (int32_t k = fours; k < count; ++k) {
            sums[k] = one_channel(l, w, at, c + k);
        }
        round_channels(&l->output, sums, c, count, out + ((ptrdiff_t)i * l->out_channels));
    }
}

#if defined(DEPTHWISE_S8_VECTORS)
/* A whole block of the windows. */
static void block(const depthwise_s8_layer *l, const windows_s8 *w, int32_t c, int8_t *out)
{
    const int16_t *const weights = l->weights + ((ptrdiff_t)2 * c);
    const int32_t pairs = (w->area + 1) / 2;
    const ptrdiff_t pitch = (ptrdiff_t)2 * l->in_channels;
    int32_t sums[TOGETHER][BLOCK];
    for (int32_t i = 0; i < w->count; ++i) {
        depthwise_s8_sixteen(w->taps, pairs, (i * w->stride) + c, weights, pitch, l->bias + c, sums[i]);
    }
    requantize_s8_pixels(&l->output, w->count, sums[0], BLOCK, c, BLOCK, out, (ptrdiff_t)l->out_channels);
}
#else
static void block(const depthwise_s8_layer *l, const windows_s8 *w, int32_t c, int8_t *out)
{
    some_channels(l, w, c, BLOCK, out);
}
#endif

/* All channels of the windows. Every block is whole where there are channels for one: the last one begins earlier. */
static void all_channels(const depthwise_s8_layer *l, const windows_s8 *w, int8_t *out)
{
    const int32_t last = l->in_channels - BLOCK;
    if (last < 0) {
        some_channels(l, w, 0, l->in_channels, out);
        return;
    }
    for (int32_t c = 0; c < last; c += BLOCK) {
        block(l, w, c, out + c);
    }
    block(l, w, last, out + last);
}

/* Where the taps of the window at (top, left) lie: in the map, or else at the pixel of padding. */
static void find_taps(
    const depthwise_s8_layer *l, const int8_t *in, int32_t top, int32_t left, const int8_t *pixel, windows_s8 *w)
{
    int32_t y = top;
    int32_t x = left;
    int32_t column = 0;
    const int8_t *last = pixel;
    for (int32_t t = 0; t < w->area; ++t) {
        const int held = y >= 0 && y < l->in_height && x >= 0 && x < l->in_width;
        w->taps[t] = held ? in + ((((ptrdiff_t)y * l->in_width) + x) * l->in_channels) : pixel;
        last = w->taps[t];
        x += l->dilation_x;
        ++column;
        if (column == l->kernel_width) {
            column = 0;
            x = left;
            y += l->dilation_y;
        }
    }
    w->taps[w->area] = last; /* met by a weight of zero, where the taps are odd in number */
}

/* How many outputs of a row, of at most `most`, have windows that lie in the map, the first of them at (top, left). */
static int32_t inside(const depthwise_s8_layer *l, int32_t top, int32_t left, int32_t most)
{
    const int32_t bottom = top + ((l->kernel_height - 1) * l->dilation_y);
    const int32_t space = l->in_width - 1 - (left + ((l->kernel_width - 1) * l->dilation_x));
    if (top < 0 || bottom >= l->in_height || left < 0 || space < 0) {
        return 0;
    }
    const int32_t count = (space / l->stride_x) + 1;
    return (count < most) ? count : most;
}

void depthwise_s8(const depthwise_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *pixel)
{
    const depthwise_s8_layer *const l = layer;
    windows_s8 w;
    w.area = l->kernel_height * l->kernel_width;
    w.stride = (ptrdiff_t)l->stride_x * l->in_channels;
    memset(pixel, l->padding, (size_t)l->in_channels);
    for (int32_t oy = 0; oy < l->out_height; ++oy) {
        const int32_t top = (oy * l->stride_y) - l->pad_top;
        for (int32_t ox = 0; ox < l->out_width; ox += w.count) {
            const int32_t left = (ox * l->stride_x) - l->pad_left;
            const int32_t rest = l->out_width - ox;
            w.count = inside(l, top, left, (rest < TOGETHER) ? rest : TOGETHER);
            w.count = (w.count > 0) ? w.count : 1;
            find_taps(l, in, top, left, pixel, &w);
            all_channels(l, &w, out);
            out += (ptrdiff_t)w.count * l->out_channels;
        }
    }
}
