/* Convolution by vectors: see convvector_s8.h. */
#include "convvector_s8.h"

#include "vector_s8.h"

/* A function of its own, so that its frame and its caller's stay small. */
#if defined(__GNUC__)
#define APART __attribute__((noinline))
#else
#define APART
#endif

/* A window that touches the padding: tap by tap, to its place between the other windows'. */
static void copy_taps(const convvector_s8_layer *l, const int8_t *in, int32_t y, int32_t x, int8_t *to)
{
    const window_s8 *const w = &l->windows;
    const int32_t depth = w->in_channels / w->groups;
    int32_t count = 0;
    for (int32_t ky = 0; ky < w->kernel_height; ++ky) {
        for (int32_t kx = 0; kx < w->kernel_width; ++kx) {
            const int32_t at = window_s8_tap(w, y + (ky * w->dilation_y), x + (kx * w->dilation_x));
            for (int32_t i = 0; i < depth; ++i) {
                to[((count / CONVVECTOR_S8_LANES) * 4 * CONVVECTOR_S8_LANES) + (count % CONVVECTOR_S8_LANES)] =
                    (int8_t)((at < 0) ? w->padding : in[at + i]);
                ++count;
            }
        }
    }
    for (; count % CONVVECTOR_S8_LANES != 0; ++count) {
        to[((count / CONVVECTOR_S8_LANES) * 4 * CONVVECTOR_S8_LANES) + (count % CONVVECTOR_S8_LANES)] = 0;
    }
}

/* All four windows from the place of the first one on, the others `far` bytes from it. */
static void gather_windows(
    const convvector_s8_layer *l, const int8_t *first, const int32_t *far, int32_t taps, int8_t *to)
{
    const int32_t *start = l->starts;
    const uint8_t *offsets = l->offsets;
    for (; taps > 0; taps -= CONVVECTOR_S8_LANES) {
        vector_s8_gather_four(first + *start++, far, offsets, taps, to);
        offsets += CONVVECTOR_S8_LANES;
        to += 4 * CONVVECTOR_S8_LANES;
    }
}

/* Whether a block of channels is rounded by vectors. */
static int usual_form(const window_s8 *w)
{
    const int product = requantize_s8_plain(&w->output) || requantize_s8_plain_high(&w->output);
    return w->pool != WINDOW_S8_AVERAGE_POOL && product;
}

/* What all positions have in common. */
typedef struct {
    const convvector_s8_layer *layer;
    int8_t *patches;
    int32_t channels; /* of a group */
    int32_t taps;
    int usual;
    int32_t pitch; /* from one window's sums to the next one's where the pool takes the maximum; else 0 */
    int32_t far[WINDOW_S8_COUNT]; /* bytes from the first window of a position to each */
} convolution;

/* Rounds a block of channels: the pool's maximum or each window where that is a product, else one by one. */
static void finish(const convolution *a, const int32_t *sums, int32_t real, int32_t first, int32_t count, int8_t *pixel)
{
    const convvector_s8_layer *const l = a->layer;
    if (a->pitch > 0) {
        vector_s8_round(sums, a->pitch, l->bias, &l->windows.output, first, count, pixel);
        return;
    }
    for (int32_t row = 0; a->usual && row < real; ++row) {
        const int32_t *const own = sums + (row * CONVVECTOR_S8_BLOCK);
        vector_s8_round(own, 0, l->bias, &l->windows.output, first, count, pixel + (row * l->windows.out_channels));
    }
    for (int32_t c = 0; !a->usual && c < count; ++c) {
        const int32_t bias = l->bias[first + c];
        int32_t own[WINDOW_S8_COUNT];
        for (int32_t i = 0; i < WINDOW_S8_COUNT; ++i) {
            /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): one_group filled all four windows */
            own[i] = sums[(i * CONVVECTOR_S8_BLOCK) + c] + bias;
        }
        window_s8_finish(&l->windows, own, real, first + c, pixel);
    }
}

/* The channels of one group from the windows' copies, `first` the first one of them. */
APART static const int8_t *one_group(
    const convolution *a, const int8_t *weights, int32_t real, int32_t first, int8_t *pixel)
{
    int32_t sums[WINDOW_S8_COUNT * CONVVECTOR_S8_BLOCK];
    const convvector_s8_layer *const l = a->layer;
    const int32_t row = l->vectors * CONVVECTOR_S8_LANES;
    for (int32_t left = a->channels; left > 0; left -= CONVVECTOR_S8_BLOCK) {
        const int32_t count = (left < CONVVECTOR_S8_BLOCK) ? left : CONVVECTOR_S8_BLOCK;
        const int8_t *const end = weights + (count * row);
        if (l->vectors == 2) {
            vector_s8_short(weights, a->patches, count, sums, CONVVECTOR_S8_BLOCK);
            vector_s8_short(weights, a->patches + (2 * CONVVECTOR_S8_LANES), count, sums + (2 * CONVVECTOR_S8_BLOCK),
                            CONVVECTOR_S8_BLOCK);
            weights = end;
        }
        for (int32_t *sum = sums; weights != end; weights += row) {
            vector_s8_four(weights, a->patches, l->vectors, sum++, CONVVECTOR_S8_BLOCK);
        }
        finish(a, sums, real, first, count, pixel);
        first += count;
    }
    return weights;
}

/* Four windows from output (oy, ox) on, each by itself. */
static void copy_windows(const convvector_s8_layer *l, const int8_t *in, int32_t oy, int32_t ox, int8_t *to)
{
    for (int32_t i = 0; i < WINDOW_S8_COUNT; ++i) {
        int32_t y;
        int32_t x;
        window_s8_corner(&l->windows, oy, ox, i, &y, &x);
        copy_taps(l, in, y, x, to + (i * CONVVECTOR_S8_LANES));
    }
}

/* One row of outputs: where all windows of a position lie within the map, they are gathered. */
static void one_row(const convolution *a, const int8_t *in, int32_t oy, int8_t *pixel)
{
    const convvector_s8_layer *const l = a->layer;
    const window_s8 *const w = &l->windows;
    const int32_t wide = (w->pool == WINDOW_S8_NO_POOL) ? WINDOW_S8_COUNT : 1;
    const int32_t depth = w->in_channels / w->groups;
    const int32_t step = w->stride_x * ((wide == 1) ? w->pool_width : wide);
    const int32_t down = ((w->kernel_height - 1) * w->dilation_y) + ((w->pool_height - 1) * w->stride_y);
    const int32_t right = ((w->kernel_width - 1) * w->dilation_x) + step - w->stride_x;
    const int32_t y = (oy * w->pool_height * w->stride_y) - w->pad_top;
    const int inside = l->offsets != NULL && y >= 0 && y + down < w->in_height;
    int32_t x = -w->pad_left;
    for (int32_t ox = 0; ox < w->out_width; ox += wide) {
        const int32_t real = window_s8_real(w, ox);
        const int8_t *weights = l->weights;
        for (int32_t group = 0; group < w->groups; ++group) {
            const int8_t *const own = in + (group * depth);
            if (inside && x >= 0 && x + right < w->in_width) {
                gather_windows(l, own + (((y * w->in_width) + x) * w->in_channels), a->far, a->taps, a->patches);
            } else {
                copy_windows(l, own, oy, ox, a->patches);
            }
            weights = one_group(a, weights, real, group * a->channels, pixel);
        }
        pixel += w->out_channels * wide;
        x += step;
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): windows are copied there, through the structure */
void convvector_s8(const convvector_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *patches)
{
    const window_s8 *const w = &layer->windows;
    const int32_t side = (w->pool == WINDOW_S8_NO_POOL) ? WINDOW_S8_COUNT : w->pool_width;
    const int32_t taps = w->kernel_height * w->kernel_width * (w->in_channels / w->groups);
    const int usual = usual_form(w);
    const int32_t pitch = (usual && w->pool == WINDOW_S8_MAX_POOL) ? CONVVECTOR_S8_BLOCK : 0;
    convolution a = {layer, patches, w->out_channels / w->groups, taps, usual, pitch, {0, 0, 0, 0}};
    for (int32_t i = 0; i < WINDOW_S8_COUNT; ++i) {
        a.far[i] = (((i / side) * w->stride_y * w->in_width) + ((i % side) * w->stride_x)) * w->in_channels;
    }
    for (int32_t oy = 0; oy < w->out_height; ++oy) {
        one_row(&a, in, oy, out + (oy * w->out_width * w->out_channels));
    }
}
