/* Tiles for vectors of 128 and 256 bits: six windows and two vectors of channels in registers, or one window and four
 * vectors.
 *
 * An instruction set brings the types tile_s8_vector (of sums) and tile_s8_taps (four taps of TILE_S8_LANES channels),
 * and tile_s8_zero, tile_s8_taps_at (of weights), tile_s8_quad (four values, for each channel), tile_s8_add (their
 * products to the sums) and tile_s8_finish (two vectors of sums to memory, in the order of channels). */
#ifndef TILE_S8_VECTORS_H
#define TILE_S8_VECTORS_H

#include "tile_s8.h"

enum {
    TILE_S8_GROUP = 6, /* windows */
    TILE_S8_QUAD = TILE_S8_VALUE * TILE_S8_TAPS,
    TILE_S8_STEP = TILE_S8_BLOCK * TILE_S8_TAPS,    /* bytes from one quad of weights to the next */
    TILE_S8_VECTOR = TILE_S8_LANES * TILE_S8_TAPS   /* bytes of a vector's weights */
};

typedef struct {
    tile_s8_vector a, b;
} tile_s8_sum;

static inline tile_s8_sum tile_s8_product(tile_s8_sum sum, const int8_t *x, tile_s8_taps a, tile_s8_taps b)
{
    const tile_s8_taps quad = tile_s8_quad(x);
    const tile_s8_sum made = {tile_s8_add(sum.a, quad, a), tile_s8_add(sum.b, quad, b)};
    return made;
}

/* Sums behind the last channel, up to a whole block. */
static inline void tile_s8_fill_up(const tile_s8_part *part, int32_t *sums)
{
    const int32_t step = 2 * TILE_S8_LANES;
    for (int32_t c = ((part->channels + step - 1) / step) * step; c % TILE_S8_BLOCK != 0; ++c) {
        sums[c] = 0;
    }
}

/* The weights of a channel that begins a vector. */
static inline const int8_t *tile_s8_channel(const tile_s8_part *part, int32_t channel)
{
    const int32_t within = channel % TILE_S8_BLOCK;
    const ptrdiff_t block = channel - within;
    return part->weights + (block * part->window.rows * part->window.quads * TILE_S8_TAPS) + (within * TILE_S8_TAPS);
}

static inline void tile_s8_group(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS])
{
    const int8_t *const x0 = tile + ((ptrdiff_t)starts[0] * TILE_S8_VALUE);
    const int8_t *const x1 = tile + ((ptrdiff_t)starts[1] * TILE_S8_VALUE);
    const int8_t *const x2 = tile + ((ptrdiff_t)starts[2] * TILE_S8_VALUE);
    const int8_t *const x3 = tile + ((ptrdiff_t)starts[3] * TILE_S8_VALUE);
    const int8_t *const x4 = tile + ((ptrdiff_t)starts[4] * TILE_S8_VALUE);
    const int8_t *const x5 = tile + ((ptrdiff_t)starts[5] * TILE_S8_VALUE);
    const tile_s8_sum zero = {tile_s8_zero(), tile_s8_zero()};
    for (int32_t channel = 0; channel < part->channels; channel += 2 * TILE_S8_LANES) {
        const int8_t *weights = tile_s8_channel(part, channel);
        const int32_t *const bias = part->TILE_S8_BIAS + channel;
        tile_s8_sum s0 = zero;
        tile_s8_sum s1 = zero;
        tile_s8_sum s2 = zero;
        tile_s8_sum s3 = zero;
        tile_s8_sum s4 = zero;
        tile_s8_sum s5 = zero;
        for (int32_t row = 0; row < part->window.rows; ++row) {
            ptrdiff_t at = (ptrdiff_t)row * part->window.pitch * TILE_S8_VALUE;
            for (int32_t quad = part->window.quads; quad > 0; --quad) {
                const tile_s8_taps a = tile_s8_taps_at(weights);
                const tile_s8_taps b = tile_s8_taps_at(weights + TILE_S8_VECTOR);
                s0 = tile_s8_product(s0, x0 + at, a, b);
                s1 = tile_s8_product(s1, x1 + at, a, b);
                s2 = tile_s8_product(s2, x2 + at, a, b);
                s3 = tile_s8_product(s3, x3 + at, a, b);
                s4 = tile_s8_product(s4, x4 + at, a, b);
                s5 = tile_s8_product(s5, x5 + at, a, b);
                weights += TILE_S8_STEP;
                at += TILE_S8_QUAD;
            }
        }
        tile_s8_finish(s0.a, s0.b, bias, sums[0] + channel);
        tile_s8_finish(s1.a, s1.b, bias, sums[1] + channel);
        tile_s8_finish(s2.a, s2.b, bias, sums[2] + channel);
        tile_s8_finish(s3.a, s3.b, bias, sums[3] + channel);
        tile_s8_finish(s4.a, s4.b, bias, sums[4] + channel);
        tile_s8_finish(s5.a, s5.b, bias, sums[5] + channel);
    }
    for (int32_t i = 0; i < TILE_S8_GROUP; ++i) {
        tile_s8_fill_up(part, sums[i]);
    }
}

/* Four vectors of channels hide the latency of their sums. */
static inline void tile_s8_one(const tile_s8_part *part, const int8_t *x, int32_t *sums)
{
    const tile_s8_sum zero = {tile_s8_zero(), tile_s8_zero()};
    for (int32_t channel = 0; channel < part->channels; channel += 4 * TILE_S8_LANES) {
        const int32_t other = channel + (2 * TILE_S8_LANES);
        const int8_t *left = tile_s8_channel(part, channel);
        const int8_t *right = tile_s8_channel(part, (other < part->channels) ? other : channel);
        tile_s8_sum low = zero;
        tile_s8_sum high = zero;
        for (int32_t row = 0; row < part->window.rows; ++row) {
            const int8_t *from = x + ((ptrdiff_t)row * part->window.pitch * TILE_S8_VALUE);
            for (int32_t quad = part->window.quads; quad > 0; --quad) {
                const tile_s8_taps a = tile_s8_taps_at(left);
                const tile_s8_taps b = tile_s8_taps_at(left + TILE_S8_VECTOR);
                const tile_s8_taps c = tile_s8_taps_at(right);
                const tile_s8_taps d = tile_s8_taps_at(right + TILE_S8_VECTOR);
                low = tile_s8_product(low, from, a, b);
                high = tile_s8_product(high, from, c, d);
                left += TILE_S8_STEP;
                right += TILE_S8_STEP;
                from += TILE_S8_QUAD;
            }
        }
        tile_s8_finish(low.a, low.b, part->TILE_S8_BIAS + channel, sums + channel);
        if (other < part->channels) {
            tile_s8_finish(high.a, high.b, part->TILE_S8_BIAS + other, sums + other);
        }
    }
    tile_s8_fill_up(part, sums);
}

#endif
