/* Rows for instruction sets that multiply pairs of 16-bit values: a vector holds every other output, so that a load
 * brings each its next two taps; the other outputs have a vector of their own, as a pool of neighbours wants them.
 *
 * Beside what tile_s8_vectors.h needs, an instruction set brings tile_s8_splat (of 32 bits), tile_s8_run (values side
 * by side) and tile_s8_write (sums to memory). */
#ifndef TILE_S8_ROW_H
#define TILE_S8_ROW_H

#include <string.h>

#include "tile_s8.h"

enum { TILE_S8_OUTPUTS = 2 * TILE_S8_LANES /* of a vector */ };

static inline tile_s8_taps tile_s8_pair(const int16_t *taps)
{
    int32_t word;
    memcpy(&word, taps, sizeof word);
    return tile_s8_splat(word);
}

#define EACH4(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH6(DO) EACH4(DO) DO(4) DO(5)
#define START(k) tile_s8_vector even##k = tile_s8_splat(bias[k]), odd##k = even##k;
#define STEP(k) \
    { \
        const tile_s8_taps taps = tile_s8_pair(weights + (2 * (k))); \
        even##k = tile_s8_add(even##k, left, taps); \
        odd##k = tile_s8_add(odd##k, right, taps); \
    }
#define WRITE(k) \
    tile_s8_write(even##k, sums[0] + ((k) * TILE_S8_HALF) + at); \
    tile_s8_write(odd##k, sums[1] + ((k) * TILE_S8_HALF) + at);

/* Two vectors of outputs of the channels that lie together. */
#define SPAN(name, EACH, together) \
    static inline void name( \
        const tile_s8_rows *rows, const int16_t *weights, const int32_t *bias, const int8_t *first, int32_t at, \
        tile_s8_half sums[2]) \
    { \
        const int32_t *offset = rows->offsets; \
        EACH(START) \
        for (int32_t pair = rows->pairs; pair > 0; --pair) { \
            const int8_t *const x = first + ((ptrdiff_t)*offset * TILE_S8_VALUE); \
            const tile_s8_taps left = tile_s8_run(x); \
            const tile_s8_taps right = tile_s8_run(x + TILE_S8_VALUE); \
            EACH(STEP) \
            weights += 2 * (together); \
            offset += 1; \
        } \
        EACH(WRITE) \
    }

SPAN(tile_s8_span4, EACH4, 4)
SPAN(tile_s8_span6, EACH6, 6)

static inline void tile_s8_row_of(
    const tile_s8_rows *rows, int32_t channel, const int8_t *first, int32_t outputs, tile_s8_half sums[2])
{
    const int16_t *const weights = rows->weights + ((ptrdiff_t)channel * rows->pairs * 2);
    const int32_t *const bias = rows->bias + channel;
    for (int32_t at = 0; 2 * at < outputs; at += TILE_S8_OUTPUTS) {
        if (rows->together == 4) {
            tile_s8_span4(rows, weights, bias, first, at, sums);
        } else {
            tile_s8_span6(rows, weights, bias, first, at, sums);
        }
        first += (ptrdiff_t)2 * TILE_S8_OUTPUTS * TILE_S8_VALUE;
    }
}

#endif
