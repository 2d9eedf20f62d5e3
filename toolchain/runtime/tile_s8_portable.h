/* Tiles in C99: what the variants for instruction sets mean. */
#ifndef TILE_S8_PORTABLE_H
#define TILE_S8_PORTABLE_H

#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 1, /* bytes */
    TILE_S8_GROUP = 1  /* windows */
};

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

#endif
