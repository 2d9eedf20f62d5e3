/* Convolution with its sums in the registers of a scalar FPU: see convscalar_f32.h. */
#include "convscalar_f32.h"

#include <stddef.h>

enum { WINDOWS = SCALAR_F32_WINDOWS };

/* The convolution outputs that one step makes: those of a pool, or up to four in a row. */
typedef struct {
    int32_t top, left; /* of the first window; may lie outside of the map */
    int32_t wide;      /* windows in a row */
    int32_t count;     /* windows */
    int held;          /* the map holds all of them */
} step;

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* A NaN wins, and stays. */
static inline float larger(float a, float b)
{
    if (a >= b) {
        return a;
    }
    return (a == a) ? b : a;
}

static step step_at(const convscalar_f32_layer *l, int32_t oy, int32_t ox, int padded)
{
    step s;
    s.wide = (l->pool != CONVSCALAR_F32_NO_POOL) ? l->pool_width : smaller(WINDOWS, l->out_width - ox);
    s.count = s.wide * l->pool_height;
    s.top = (oy * l->pool_height * l->stride_y) - l->pad_top;
    s.left = (ox * l->pool_width * l->stride_x) - l->pad_left;
    const int32_t bottom =
        s.top + ((l->pool_height - 1) * l->stride_y) + ((l->kernel_height - 1) * l->dilation_y);
    const int32_t right = s.left + ((s.wide - 1) * l->stride_x) + ((l->kernel_width - 1) * l->dilation_x);
    s.held = !padded || (s.top >= 0 && s.left >= 0 && bottom < l->in_height && right < l->in_width);
    return s;
}

/* Copies the window whose first tap is at (y, x) of the channels from `channel` on, with zeros where it leaves the
 * map. */
static void gather(const convscalar_f32_layer *l, const float *in, int32_t y, int32_t x, int32_t channel, float *patch)
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

/* Windows `first` to `first + 3` of a step, where they lie in the map; those that it lacks are the last one again. */
static void find_windows(
    const convscalar_f32_layer *l, const float *in, const step *s, int32_t first, scalar_f32_windows *w)
{
    const float *const corner = in + ((((ptrdiff_t)s->top * l->in_width) + s->left) * l->in_channels);
    const int32_t last = s->count - 1;
    w->runs = l->runs;
    w->run = l->run;
    w->jumps = l->jumps;
    for (int32_t i = 0; i < WINDOWS; ++i) {
        w->start[i] = corner + l->places[smaller(first + i, last)];
    }
}

/* The same for windows that leave the map: they are copied. */
static void copy_windows(const convscalar_f32_layer *l, const float *in, const step *s, int32_t first, int32_t channel,
    float *patches, scalar_f32_windows *w)
{
    const int32_t last = s->count - 1;
    w->runs = 1;
    w->run = l->runs * l->run;
    w->jumps = l->jumps + l->runs - 1;
    for (int32_t i = 0; i < WINDOWS; ++i) {
        const int32_t index = smaller(first + i, last);
        const int32_t y = s->top + ((index / s->wide) * l->stride_y);
        const int32_t x = s->left + ((index % s->wide) * l->stride_x);
        gather(l, in, y, x, channel, patches);
        w->start[i] = patches;
        patches += w->run;
    }
}

/* The largest of the windows' sums, and of what `out` holds of the pool's windows before. */
static void keep_most(const float *sums, int32_t channels, int begun, float *out)
{
    for (int32_t c = 0; c < channels; ++c) {
        const float most = larger(larger(sums[0], sums[1]), larger(sums[2], sums[3]));
        out[c] = begun ? larger(out[c], most) : most;
        sums += WINDOWS;
    }
}

/* The same for the mean; `count` windows in all. */
static void keep_mean(const float *sums, int32_t channels, int32_t first, int32_t count, float *out)
{
    const int32_t here = smaller(WINDOWS, count - first);
    for (int32_t c = 0; c < channels; ++c) {
        float sum = (first > 0) ? out[c] : 0.0f;
        for (int32_t i = 0; i < here; ++i) {
            sum += sums[i];
        }
        out[c] = (first + here == count) ? sum / (float)count : sum;
        sums += WINDOWS;
    }
}

/* One output for each of `count` windows. */
static void keep_all(const float *sums, int32_t channels, int32_t count, int32_t pitch, float *out)
{
    for (int32_t c = 0; c < channels; ++c) {
        for (int32_t i = 0; i < count; ++i) {
            out[(i * pitch) + c] = sums[i];
        }
        sums += WINDOWS;
    }
}

/* Some channels of a step from the sums of windows `first` to `first + 3`. */
static void finish(const convscalar_f32_layer *l, float *sums, const step *s, int32_t first, int32_t channels, float *out)
{
    if (l->each.kind != ACTIVATION_NONE) {
        scalar_f32_activate(&l->each, sums, channels * WINDOWS);
    }
    switch (l->pool) {
    case CONVSCALAR_F32_MAX_POOL:
        keep_most(sums, channels, first > 0, out);
        break;
    case CONVSCALAR_F32_AVERAGE_POOL:
        keep_mean(sums, channels, first, s->count, out);
        break;
    case CONVSCALAR_F32_NO_POOL:
    default:
        keep_all(sums, channels, s->count, l->out_channels, out);
        break;
    }
}

/* All channels of a group; returns the weights of the next one. */
static const float *one_group(const convscalar_f32_layer *l, const scalar_f32_windows *w, const float *weights,
    const step *s, int32_t first, float *out)
{
    const int32_t channels = l->out_channels / l->groups;
    int32_t made = 0;
    for (int32_t block = 0; made < channels; ++block) {
        float sums[SCALAR_F32_SIX * WINDOWS];
        int32_t wide = 1;
        if (block < l->sixes) {
            wide = SCALAR_F32_SIX;
            weights = scalar_f32_six(w, weights, sums);
        } else if (block < l->sixes + l->fours) {
            wide = SCALAR_F32_FOUR;
            weights = scalar_f32_four(w, weights, sums);
        } else {
            weights = scalar_f32_one(w, weights, sums);
        }
        finish(l, sums, s, first, smaller(wide, channels - made), out + made);
        made += wide;
    }
    return weights;
}

static void one_row(const convscalar_f32_layer *l, const float *in, int32_t oy, float *patches, float *out)
{
    const int32_t wide = (l->pool != CONVSCALAR_F32_NO_POOL) ? 1 : WINDOWS;
    const int32_t channels = l->out_channels / l->groups;
    const int32_t depth = l->in_channels / l->groups;
    for (int32_t ox = 0; ox < l->out_width; ox += wide) {
        const step s = step_at(l, oy, ox, patches != NULL);
        float *const pixel = out + ((ptrdiff_t)ox * l->out_channels);
        for (int32_t first = 0; first < s.count; first += WINDOWS) {
            const float *weights = l->weights;
            for (int32_t group = 0; group < l->groups; ++group) {
                scalar_f32_windows w;
                if (s.held) {
                    find_windows(l, in + (group * depth), &s, first, &w);
                } else {
                    copy_windows(l, in, &s, first, group * depth, patches, &w);
                }
                weights = one_group(l, &w, weights, &s, first, pixel + (group * channels));
            }
        }
    }
}

void convscalar_f32(const convscalar_f32_layer *layer, const float *in, float *out, float *patches)
{
    const int32_t row = layer->out_width * layer->out_channels;
    for (int32_t oy = 0; oy < layer->out_height; ++oy) {
        one_row(layer, in, oy, patches, out);
        scalar_f32_activate(&layer->activation, out, row);
        out += row;
    }
}
