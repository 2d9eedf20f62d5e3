/* Convolution of one int8 map along its rows: see convwide_rows_s8.h. */
#include "convwide_rows_s8.h"

#include "requantize_block_s8.h"

enum { HALF = TILE_S8_HALF, AREA = 4 };

typedef int8_t half_row[HALF];

/* Some channels of up to 32 outputs of a row, or of 16 behind a pool. */
typedef struct {
    int32_t channel, channels;
    int32_t from;   /* where in the tile the first window begins */
    int32_t pixels; /* results */
} row_part;

static int32_t smaller(int32_t a, int32_t b)
{
    return (a < b) ? a : b;
}

static int32_t larger(int32_t a, int32_t b)
{
    return (a > b) ? a : b;
}

/* Channel after channel becomes pixel after pixel, `step` values from one to the next. */
static void turn(half_row *values, int32_t channels, int32_t pixels, int32_t step, int8_t *out)
{
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4) {
        int8_t quads[HALF][4];
        for (int32_t x = 0; x < HALF; ++x) {
            quads[x][0] = values[c][x];
            quads[x][1] = values[c + 1][x];
            quads[x][2] = values[c + 2][x];
            quads[x][3] = values[c + 3][x];
        }
        for (int32_t x = 0; x < pixels; ++x) {
            memcpy(out + ((ptrdiff_t)x * step) + c, quads[x], sizeof quads[x]);
        }
    }
    for (; c < channels; ++c) {
        for (int32_t x = 0; x < pixels; ++x) {
            out[((ptrdiff_t)x * step) + c] = values[c][x];
        }
    }
}

/* Up to 16 values of a channel; what lies behind them is of any value. */
static void finished(const requantize_s8 *q, const int32_t *sums, int32_t channel, int32_t count, int8_t *values)
{
    requantize_s8_channel(q, sums, channel, count, values);
    requantize_s8_map(q, count, values);
}

static int unpooled(const convwide_s8_layer *l, const row_part *part, const int8_t *tile, int8_t *out)
{
    const int32_t even = (part->pixels + 1) / 2;
    const int32_t odd = part->pixels / 2;
    tile_s8_half sums[2];
    half_row left[TILE_S8_TOGETHER] = {{0}};
    half_row right[TILE_S8_TOGETHER] = {{0}};
    if (tile_s8_row(&l->rows, part->channel, tile, part->from, part->pixels, sums) == 0) {
        return 0;
    }
    for (int32_t k = 0; k < part->channels; ++k) {
        finished(&l->output, sums[0] + (k * HALF), part->channel + k, even, left[k]);
        finished(&l->output, sums[1] + (k * HALF), part->channel + k, odd, right[k]);
    }
    turn(left, part->channels, even, 2 * l->out_channels, out);
    turn(right, part->channels, odd, 2 * l->out_channels, out + l->out_channels);
    return 1;
}

/* The values of some channels behind a pool, from the sums of its two rows. */
static void largest(
    const convwide_s8_layer *l, const row_part *part, tile_s8_half upper[2], tile_s8_half lower[2],
    half_row *values)
{
    for (int32_t k = 0; k < part->channels; ++k) {
        int32_t total[HALF]; /* the output rises with the sum */
        for (int32_t x = 0; x < HALF; ++x) {
            const int32_t i = (k * HALF) + x;
            total[x] = larger(larger(upper[0][i], upper[1][i]), larger(lower[0][i], lower[1][i]));
        }
        finished(&l->output, total, part->channel + k, part->pixels, values[k]);
    }
}

static void average(
    const convwide_s8_layer *l, const row_part *part, tile_s8_half upper[2], tile_s8_half lower[2],
    half_row *values)
{
    const int32_t limit = larger(l->mean_bias, -l->mean_bias) + (AREA * 128);
    for (int32_t k = 0; k < part->channels; ++k) {
        const int32_t *const from[AREA] = {upper[0], upper[1], lower[0], lower[1]};
        half_row levels[AREA] = {{0}};
        int32_t total[HALF];
        for (int32_t x = 0; x < HALF; ++x) {
            total[x] = l->mean_bias;
        }
        for (int32_t i = 0; i < AREA; ++i) {
            requantize_s8_channel(&l->output, from[i] + (k * HALF), part->channel + k, part->pixels, levels[i]);
        }
        requantize_s8_add(&l->output, levels, AREA, part->pixels, total);
        requantize_s8_same(&l->mean, total, limit, part->pixels, values[k]);
    }
}

static int pooled(const convwide_s8_layer *l, const row_part *part, const int8_t *tile, int8_t *out)
{
    const int32_t below = part->from + (l->stride_y * l->tile_width);
    tile_s8_half upper[2];
    tile_s8_half lower[2];
    half_row values[TILE_S8_TOGETHER] = {{0}};
    if (tile_s8_row(&l->rows, part->channel, tile, part->from, 2 * part->pixels, upper) == 0) {
        return 0;
    }
    (void)tile_s8_row(&l->rows, part->channel, tile, below, 2 * part->pixels, lower);
    if (l->pool == CONVWIDE_S8_MAX_POOL) {
        largest(l, part, upper, lower, values);
    } else {
        average(l, part, upper, lower, values);
    }
    turn(values, part->channels, part->pixels, l->out_channels, out);
    return 1;
}

int convwide_s8_rows(const convwide_s8_layer *layer, int32_t first, int32_t rows, const int8_t *tile, int8_t *out)
{
    const convwide_s8_layer *const l = layer;
    const int32_t most = TILE_S8_ROW / l->pool_width;
    for (int32_t y = 0; y < rows; ++y) {
        int8_t *const row = out + ((ptrdiff_t)(first + y) * l->out_width * l->out_channels);
        const int32_t start = y * l->pool_height * l->stride_y * l->tile_width;
        for (int32_t x = 0; x < l->out_width; x += most) {
            for (int32_t channel = 0; channel < l->out_channels; channel += l->rows.together) {
                const row_part part = {
                    channel, smaller(l->rows.together, l->out_channels - channel), start + (x * l->pool_width),
                    smaller(most, l->out_width - x)};
                int8_t *const to = row + ((ptrdiff_t)x * l->out_channels) + channel;
                const int done =
                    (l->pool == CONVWIDE_S8_NO_POOL) ? unpooled(l, &part, tile, to) : pooled(l, &part, tile, to);
                if (done == 0) {
                    return 0;
                }
            }
        }
    }
    return 1;
}
