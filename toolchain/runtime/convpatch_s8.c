/* Convolution for small cores: see convpatch_s8.h. */
#include "convpatch_s8.h"

/* Taps of a turn of the inner loops; they are written out, since compilers for small cores do not unroll. */
enum { CONVPATCH_S8_TURN = 5 };
#define CONVPATCH_S8_NEXT(count)        \
    weights += 2 * (count);             \
    x += WINDOW_S8_COUNT * (count);
#define CONVPATCH_S8_TAPS \
    CONVPATCH_S8_TAP(0)   \
    CONVPATCH_S8_TAP(1)   \
    CONVPATCH_S8_TAP(2)   \
    CONVPATCH_S8_TAP(3)   \
    CONVPATCH_S8_TAP(4)   \
    CONVPATCH_S8_NEXT(5)

#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
typedef uint8_t convpatch_s8_value;
#define CONVPATCH_S8_STORED(value) ((uint8_t)((uint8_t)(value) ^ 0x80u))
#else
typedef int8_t convpatch_s8_value;
#define CONVPATCH_S8_STORED(value) ((int8_t)(value))
#endif

/* `count` bytes to every fourth place. */
static inline convpatch_s8_value *spread(const int8_t *from, int32_t count, convpatch_s8_value *to)
{
    for (; count >= CONVPATCH_S8_TURN; count -= CONVPATCH_S8_TURN) {
        to[0] = CONVPATCH_S8_STORED(from[0]);
        to[4] = CONVPATCH_S8_STORED(from[1]);
        to[8] = CONVPATCH_S8_STORED(from[2]);
        to[12] = CONVPATCH_S8_STORED(from[3]);
        to[16] = CONVPATCH_S8_STORED(from[4]);
        from += CONVPATCH_S8_TURN;
        to += CONVPATCH_S8_TURN * WINDOW_S8_COUNT;
    }
    for (; count > 0; --count) {
        *to = CONVPATCH_S8_STORED(*from++);
        to += WINDOW_S8_COUNT;
    }
    return to;
}

static convpatch_s8_value *spread_padding(int32_t padding, int32_t count, convpatch_s8_value *to)
{
    for (; count > 0; --count) {
        *to = CONVPATCH_S8_STORED(padding);
        to += WINDOW_S8_COUNT;
    }
    return to;
}

static void spread_window(
    const window_s8 *w, const int8_t *in, int32_t y, int32_t x, int32_t depth, convpatch_s8_value *to)
{
    const int32_t last = x + ((w->kernel_width - 1) * w->dilation_x);
    const int32_t bottom = y + ((w->kernel_height - 1) * w->dilation_y);
    const int inside = x >= 0 && last < w->in_width && y >= 0 && bottom < w->in_height;
    if (inside && w->dilation_x == 1 && depth == w->in_channels) {
        const int32_t run = w->kernel_width * depth;
        const int32_t pitch = w->dilation_y * w->in_width * depth;
        const int8_t *from = in + (((y * w->in_width) + x) * depth);
        for (int32_t ky = w->kernel_height; ky > 0; --ky) {
            to = spread(from, run, to);
            from += pitch;
        }
        return;
    }
    for (; y <= bottom; y += w->dilation_y) {
        for (int32_t column = x; column <= last; column += w->dilation_x) {
            const int32_t at = window_s8_tap(w, y, column);
            to = (at < 0) ? spread_padding(w->padding, depth, to) : spread(in + at, depth, to);
        }
    }
}

#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1

/* The sums of four windows with one channel's weights, every second byte: more do not fit eight registers. */
static void one_channel(const convpatch_s8_value *x, const int8_t *weights, int32_t taps, int32_t bias, int32_t *sums)
{
    int32_t s0 = bias;
    int32_t s1 = bias;
    int32_t s2 = bias;
    int32_t s3 = bias;
#define CONVPATCH_S8_TAP(i)                    \
    {                                          \
        const int32_t w = weights[2 * (i)];    \
        s0 += x[(4 * (i)) + 0] * w;            \
        s1 += x[(4 * (i)) + 1] * w;            \
        s2 += x[(4 * (i)) + 2] * w;            \
        s3 += x[(4 * (i)) + 3] * w;            \
    }
    for (; taps >= CONVPATCH_S8_TURN; taps -= CONVPATCH_S8_TURN) {
        CONVPATCH_S8_TAPS
    }
    for (; taps > 0; --taps) {
        CONVPATCH_S8_TAP(0)
        CONVPATCH_S8_NEXT(1)
    }
#undef CONVPATCH_S8_TAP
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static void two_channels(const convpatch_s8_value *x, const int8_t *weights, int32_t taps, const int32_t *bias,
                         const int32_t *offset, int32_t *a, int32_t *b)
{
    one_channel(x, weights, taps, bias[0] - offset[0], a);
    one_channel(x, weights + 1, taps, bias[1] - offset[1], b);
}

#else

/* The sums of four windows with the weights of two channels. */
static void two_channels(const convpatch_s8_value *x, const int8_t *weights, int32_t taps, const int32_t *bias,
                         const int32_t *offset, int32_t *a, int32_t *b)
{
    (void)offset;
    int32_t a0 = bias[0], a1 = a0, a2 = a0, a3 = a0;
    int32_t b0 = bias[1], b1 = b0, b2 = b0, b3 = b0;
#define CONVPATCH_S8_TAP(i)                           \
    {                                                 \
        const int32_t first = weights[2 * (i)];       \
        const int32_t second = weights[(2 * (i)) + 1]; \
        a0 += x[(4 * (i)) + 0] * first;               \
        b0 += x[(4 * (i)) + 0] * second;              \
        a1 += x[(4 * (i)) + 1] * first;               \
        b1 += x[(4 * (i)) + 1] * second;              \
        a2 += x[(4 * (i)) + 2] * first;               \
        b2 += x[(4 * (i)) + 2] * second;              \
        a3 += x[(4 * (i)) + 3] * first;               \
        b3 += x[(4 * (i)) + 3] * second;              \
    }
    for (; taps >= CONVPATCH_S8_TURN; taps -= CONVPATCH_S8_TURN) {
        CONVPATCH_S8_TAPS
    }
    for (; taps > 0; --taps) {
        CONVPATCH_S8_TAP(0)
        CONVPATCH_S8_NEXT(1)
    }
#undef CONVPATCH_S8_TAP
    a[0] = a0;
    a[1] = a1;
    a[2] = a2;
    a[3] = a3;
    b[0] = b0;
    b[1] = b1;
    b[2] = b2;
    b[3] = b3;
}

#endif

static void one_position(
    const convpatch_s8_layer *l, const int8_t *in, int32_t oy, int32_t ox, convpatch_s8_value *patch, int8_t *pixel)
{
    const window_s8 *const w = &l->windows;
    const int32_t depth = w->in_channels / w->groups;
    const int32_t channels = w->out_channels / w->groups;
    const int32_t taps = w->kernel_height * w->kernel_width * depth;
    const int32_t real = window_s8_real(w, ox);
    const int8_t *weights = l->weights;
    const int32_t *bias = l->bias;
    const int32_t *offset = l->offset;
    for (int32_t group = 0; group < w->groups; ++group) {
        for (int32_t i = 0; i < WINDOW_S8_COUNT; ++i) {
            int32_t y;
            int32_t x;
            window_s8_corner(w, oy, ox, i, &y, &x);
            spread_window(w, in + (group * depth), y, x, depth, patch + i);
        }
        for (int32_t c = 0; c < channels; c += 2) {
            int32_t first[WINDOW_S8_COUNT];
            int32_t second[WINDOW_S8_COUNT];
            two_channels(patch, weights, taps, bias, offset, first, second);
            window_s8_finish(w, first, real, (group * channels) + c, pixel);
            if (c + 1 < channels) {
                window_s8_finish(w, second, real, (group * channels) + c + 1, pixel);
            }
            weights += 2 * taps;
            bias += 2;
            offset += 2;
        }
    }
}

void convpatch_s8(const convpatch_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *patches)
{
    const window_s8 *const w = &layer->windows;
    const int32_t wide = (w->pool == WINDOW_S8_NO_POOL) ? WINDOW_S8_COUNT : 1;
    for (int32_t oy = 0; oy < w->out_height; ++oy) {
        int8_t *const row = out + (oy * w->out_width * w->out_channels);
        for (int32_t ox = 0; ox < w->out_width; ox += wide) {
            one_position(layer, in, oy, ox, (convpatch_s8_value *)patches, row + (ox * w->out_channels));
        }
    }
}
