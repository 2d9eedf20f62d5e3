/* Convolution of float maps for machines with vectors: see convwide_f32.h.
 *
 * The map is made in strips of rows that stay in the cache. A strip is copied first: with its padding, so that no window
 * needs a test, and in slices of channels, so that the taps of neighbouring windows share cache lines. Its windows meet
 * the weights of one group of output channels after the other; these are read from first to last. */
#include "convwide_f32.h"

#include <stddef.h>
#include <string.h>

#include "activationwide_f32.h"
#include "tile_f32.h"

enum { BATCH = 4 * TILE_F32_WINDOWS }; /* windows between two visits of activation and pool */

/* The input of a strip. */
typedef struct {
    const float *from;     /* the first tap of the first window */
    int32_t height, width; /* pixels */
    int32_t top, rows;     /* output rows */
} strip_f32;

/* A group of output channels. */
typedef struct {
    int32_t first, count; /* channels, within the group of the convolution */
    int32_t vectors;
    float *out; /* of the strip's first pixel */
    tile_f32_taps taps;
    tile_f32_weights weights;
} channels_f32;

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

/* Pixels that the windows of `outputs` pooled outputs span. */
static int32_t span(int32_t outputs, int32_t pool, int32_t stride, int32_t kernel, int32_t dilation)
{
    return (((outputs * pool) - 1) * stride) + ((kernel - 1) * dilation) + 1;
}

/* One row of one slice: `held` pixels of the map with zeros on both sides. */
static void copy_row(const convwide_f32_layer *l, const float *in, int32_t width, float *to)
{
    const int32_t held = smaller(l->in_width, width - l->pad_left);
    const int32_t right = width - l->pad_left - held;
    const size_t bytes = (size_t)l->slice * sizeof *to;
    memset(to, 0, (size_t)l->pad_left * bytes);
    to += (ptrdiff_t)l->pad_left * l->slice;
    if (l->slice == l->in_channels) {
        memcpy(to, in, (size_t)held * bytes);
        to += (ptrdiff_t)held * l->slice;
    } else {
        for (int32_t x = 0; x < held; ++x) {
            for (int32_t i = 0; i < l->slice; ++i) {
                to[i] = in[i];
            }
            in += l->in_channels;
            to += l->slice;
        }
    }
    memset(to, 0, (size_t)right * bytes);
}

/* Copies the rows that a strip takes, slice by slice, with zeros around the map. */
static void copy(const convwide_f32_layer *l, const float *in, const strip_f32 *s, float *to)
{
    const int32_t first = (s->top * l->pool_height * l->stride_y) - l->pad_top;
    const ptrdiff_t pitch = (ptrdiff_t)s->width * l->slice;
    for (int32_t channel = 0; channel < l->in_channels; channel += l->slice) {
        for (int32_t row = first; row < first + s->height; ++row) {
            if (row < 0 || row >= l->in_height) {
                memset(to, 0, (size_t)pitch * sizeof *to);
            } else {
                copy_row(l, in + ((ptrdiff_t)row * l->in_width * l->in_channels) + channel, s->width, to);
            }
            to += pitch;
        }
    }
}

/* The first taps of the windows of output pixels index ... index + count - 1 of the strip, pool by pool; the last one
 * again until the tiles are full. Returns how many there are. */
static int32_t
find_windows(const convwide_f32_layer *l, const strip_f32 *s, int32_t index, int32_t count, const float **x)
{
    const ptrdiff_t right = (ptrdiff_t)l->stride_x * l->slice;
    const ptrdiff_t down = (ptrdiff_t)l->stride_y * s->width * l->slice;
    int32_t oy = index / l->out_width;
    int32_t ox = index % l->out_width;
    int32_t n = 0;
    for (int32_t k = 0; k < count; ++k) {
        const float *const corner = s->from + (oy * l->pool_height * down) + (ox * l->pool_width * right);
        for (int32_t py = 0; py < l->pool_height; ++py) {
            for (int32_t px = 0; px < l->pool_width; ++px) {
                x[n++] = corner + (py * down) + (px * right);
            }
        }
        if (++ox == l->out_width) {
            ox = 0;
            ++oy;
        }
    }
    for (int32_t i = n; i % TILE_F32_WINDOWS != 0; ++i) {
        x[i] = x[n - 1];
    }
    return n;
}

static vf32 pooled(convwide_f32_pool pool, const float *sums, ptrdiff_t pitch, int32_t area)
{
    vf32 result = vf32_load(sums);
    for (int32_t i = 1; i < area; ++i) {
        const vf32 x = vf32_load(sums + (i * pitch));
        result = (pool == CONVWIDE_F32_MAX_POOL) ? vf32_max(result, x) : vf32_add(result, x);
    }
    return (pool == CONVWIDE_F32_AVERAGE_POOL) ? vf32_div(result, vf32_splat((float)area)) : result;
}

/* Channels of `count` pixels to where they belong, none below `low` or above `high`; a NaN stays. */
static void write(
    const convwide_f32_layer *l, const channels_f32 *c, const float *sums, int32_t count, float *out, vf32 low,
    vf32 high)
{
    const int32_t lanes = c->vectors * VF32_LANES;
    const int32_t held = smaller(c->count, lanes);
    for (int32_t k = 0; k < count; ++k) {
        int32_t lane = 0;
        for (; lane + VF32_LANES <= held; lane += VF32_LANES) {
            vf32_store(out + lane, activationwide_f32_clamp(vf32_load(sums + lane), low, high));
        }
        if (lane < held) {
            vf32_store_part(out + lane, activationwide_f32_clamp(vf32_load(sums + lane), low, high), held - lane);
        }
        sums += lanes;
        out += l->out_channels;
    }
}

/* Activation and pool; `count` pooled pixels from position `index` of the strip on. */
static void finish(
    const convwide_f32_layer *l, const channels_f32 *c, float *sums, int32_t windows, int32_t index, int32_t count)
{
    const int32_t area = l->pool_height * l->pool_width;
    const ptrdiff_t pitch = (ptrdiff_t)c->vectors * VF32_LANES;
    const int late = l->pool == CONVWIDE_F32_MAX_POOL && activationwide_f32_rises(&l->activation);
    const int clamps = l->activation.kind == ACTIVATION_CLAMP && l->pool != CONVWIDE_F32_AVERAGE_POOL;
    if (!late && !clamps) {
        activationwide_f32(&l->activation, sums, windows * pitch);
    }
    for (int32_t k = 0; l->pool != CONVWIDE_F32_NO_POOL && k < count; ++k) {
        for (ptrdiff_t lane = 0; lane < pitch; lane += VF32_LANES) {
            vf32_store(sums + (k * pitch) + lane, pooled(l->pool, sums + (k * area * pitch) + lane, pitch, area));
        }
    }
    if (late && !clamps) {
        activationwide_f32(&l->activation, sums, count * pitch);
    }
    const vf32 low = vf32_splat(clamps ? l->activation.alpha : -INFINITY);
    const vf32 high = vf32_splat(clamps ? l->activation.beta : INFINITY);
    write(l, c, sums, count, c->out + ((ptrdiff_t)index * l->out_channels), low, high);
}

static void one_strip(const convwide_f32_layer *l, const strip_f32 *s, const channels_f32 *c)
{
    const int32_t area = l->pool_height * l->pool_width;
    const int32_t pixels = s->rows * l->out_width;
    const ptrdiff_t pitch = (ptrdiff_t)c->vectors * VF32_LANES;
    const int32_t batch = BATCH / area; /* a pool takes at most CONVWIDE_F32_POOL_AREA windows, which are fewer */
    float sums[BATCH * TILE_F32_CHANNELS];
    const float *x[BATCH];
    for (int32_t index = 0; index < pixels; index += batch) {
        const int32_t count = smaller(batch, pixels - index);
        const int32_t windows = find_windows(l, s, index, count, x);
        for (int32_t i = 0; i < windows; i += TILE_F32_WINDOWS) {
            tile_f32(c->vectors, &c->taps, &c->weights, x + i, sums + (i * pitch), pitch);
        }
        finish(l, c, sums, windows, index, count);
    }
}

/* One group of the convolution: its output channels, as many at once as there are registers. */
static void one_group(const convwide_f32_layer *l, const strip_f32 *s, int32_t group, float *out)
{
    const int32_t channels = l->out_channels / l->groups;
    const int32_t depth = l->in_channels / l->groups;
    const int32_t blocks = (channels + TILE_F32_BLOCK - 1) / TILE_F32_BLOCK;
    const ptrdiff_t gap = (ptrdiff_t)l->kernel_height * l->kernel_width * depth * TILE_F32_BLOCK;
    const ptrdiff_t plane = (ptrdiff_t)s->height * s->width * l->slice;
    strip_f32 own = *s;
    channels_f32 c;
    own.from += (depth / l->slice) * group * plane;
    c.taps.slices = depth / l->slice;
    c.taps.rows = l->kernel_height;
    c.taps.runs = (l->dilation_x == 1) ? 1 : l->kernel_width;
    c.taps.run = (l->dilation_x == 1) ? l->kernel_width * l->slice : l->slice;
    c.taps.slice_pitch = plane;
    c.taps.row_pitch = (ptrdiff_t)l->dilation_y * s->width * l->slice;
    c.taps.run_pitch = (ptrdiff_t)l->dilation_x * l->slice;
    c.weights.gap = gap;
    for (c.first = 0; c.first < channels; c.first += c.vectors * VF32_LANES) {
        const ptrdiff_t block = ((ptrdiff_t)group * blocks) + (c.first / TILE_F32_BLOCK);
        const int32_t lane = c.first % TILE_F32_BLOCK;
        c.vectors = tile_f32_vectors(channels - c.first);
        c.count = channels - c.first;
        c.out = out + (group * channels) + c.first;
        c.weights.weights = l->weights + (block * gap) + lane;
        c.weights.start = l->bias + (block * TILE_F32_BLOCK) + lane;
        one_strip(l, &own, &c);
    }
}

void convwide_f32(const convwide_f32_layer *layer, const float *in, float *out, float *scratch)
{
    const convwide_f32_layer *const l = layer;
    strip_f32 s;
    for (s.top = 0; s.top < l->out_height; s.top += l->strip) {
        s.rows = smaller(l->strip, l->out_height - s.top);
        if (scratch != NULL) {
            s.height = span(s.rows, l->pool_height, l->stride_y, l->kernel_height, l->dilation_y);
            s.width = span(l->out_width, l->pool_width, l->stride_x, l->kernel_width, l->dilation_x);
            s.from = scratch;
            copy(l, in, &s, scratch);
        } else {
            s.height = l->in_height;
            s.width = l->in_width;
            s.from = in + ((ptrdiff_t)s.top * l->pool_height * l->stride_y * l->in_width * l->slice);
        }
        for (int32_t group = 0; group < l->groups; ++group) {
            one_group(l, &s, group, out + ((ptrdiff_t)s.top * l->out_width * l->out_channels));
        }
    }
}
