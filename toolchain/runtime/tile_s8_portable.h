/* Tiles in C99: what the variants for instruction sets mean. */
#ifndef TILE_S8_PORTABLE_H
#define TILE_S8_PORTABLE_H

#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 1, /* bytes */
    TILE_S8_GROUP = 1  /* windows */
};
#define TILE_S8_ROWS

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    memcpy(tile, values, (size_t)count);
}

static inline void tile_s8_sixteen(const tile_s8_part *part, int32_t channel, const int8_t *x, int32_t *sums)
{
    const tile_s8_window *const window = &part->window;
    const int8_t *weights = part->weights + ((ptrdiff_t)channel * window->rows * window->quads * TILE_S8_TAPS);
    memcpy(sums, part->bias + channel, TILE_S8_BLOCK * sizeof *sums);
    for (int32_t row = 0; row < window->rows; ++row) {
        for (int32_t tap = 0; tap < window->quads * TILE_S8_TAPS; tap += TILE_S8_TAPS) {
            const int32_t x0 = x[tap];
            const int32_t x1 = x[tap + 1];
            const int32_t x2 = x[tap + 2];
            const int32_t x3 = x[tap + 3];
            for (int32_t c = 0; c < TILE_S8_BLOCK; ++c) {
                const int8_t *const w = weights + ((ptrdiff_t)c * TILE_S8_TAPS);
                sums[c] += (x0 * w[0]) + (x1 * w[1]) + (x2 * w[2]) + (x3 * w[3]);
            }
            weights += TILE_S8_BLOCK * TILE_S8_TAPS;
        }
        x += window->pitch;
    }
}

static inline void tile_s8_one(const tile_s8_part *part, const int8_t *x, int32_t *sums)
{
    for (int32_t channel = 0; channel < part->channels; channel += TILE_S8_BLOCK) {
        tile_s8_sixteen(part, channel, x, sums + channel);
    }
}

static inline void tile_s8_group(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS])
{
    tile_s8_one(part, tile + starts[0], sums[0]);
}

/* One output of a row. */
static inline int32_t tile_s8_output(const tile_s8_rows *rows, int32_t channel, const int8_t *x)
{
    const int32_t within = channel % rows->together;
    const int16_t *taps = rows->weights + ((((ptrdiff_t)channel - within) * rows->pairs) + within) * 2;
    int32_t sum = rows->bias[channel];
    for (int32_t pair = 0; pair < rows->pairs; ++pair) {
        const int8_t *const from = x + rows->offsets[pair];
        sum += (from[0] * taps[0]) + (from[1] * taps[1]);
        taps += (ptrdiff_t)2 * rows->together;
    }
    return sum;
}

static inline void tile_s8_row_of(
    const tile_s8_rows *rows, int32_t channel, const int8_t *first, int32_t outputs, tile_s8_half sums[2])
{
    for (int32_t c = 0; c < rows->together; ++c) {
        for (int32_t i = 0; i < outputs; ++i) {
            sums[i % 2][(c * TILE_S8_HALF) + (i / 2)] = tile_s8_output(rows, channel + c, first + i);
        }
    }
}

#endif
