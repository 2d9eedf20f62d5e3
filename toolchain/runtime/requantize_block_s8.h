/* Blocks of 16 channels from accumulators to 8 bits, as requantize_s8.h does it for one. */
#ifndef REQUANTIZE_BLOCK_S8_H
#define REQUANTIZE_BLOCK_S8_H

#include <string.h>

#include "requantize_s8.h"

enum { REQUANTIZE_S8_BLOCK = 16 };

#if defined(__AVX2__)
#include "requantize_block_s8_avx2.h"
#elif defined(__SSE4_1__)
#include "requantize_block_s8_sse4.h"
#elif defined(__ARM_NEON)
#include "requantize_block_s8_neon.h"
#elif defined(__wasm_simd128__)
#include "requantize_block_s8_wasm.h"
#endif

#if defined(REQUANTIZE_S8_VECTORS) && !defined(REQUANTIZE_S8_NUMBERS)
/* What is made ready for sixteen channels before their sums are rounded: nothing. */
typedef struct {
    const requantize_s8 *q;
    int32_t channel;
} requantize_s8_numbers;

static inline requantize_s8_numbers requantize_s8_numbers_of(const requantize_s8 *q, int32_t channel)
{
    const requantize_s8_numbers made = {q, channel};
    return made;
}

static inline void requantize_s8_sixteen(const requantize_s8_numbers *n, const int32_t *sums, int8_t *out)
{
    requantize_s8_vectors(n->q, sums, n->channel, out);
}
#endif

/* At most a block; a call of memcpy would take longer. */
static inline void requantize_s8_copy(int8_t *out, const int8_t *from, int32_t count)
{
    if (count == REQUANTIZE_S8_BLOCK) {
        memcpy(out, from, REQUANTIZE_S8_BLOCK);
        return;
    }
    for (int32_t size = REQUANTIZE_S8_BLOCK / 2; size > 0; size /= 2) {
        if ((count & size) != 0) {
            for (int32_t i = 0; i < size; ++i) {
                out[i] = from[i];
            }
            out += size;
            from += size;
        }
    }
}

/* How many sums of a block are computed where some are wanted: not a number that gcc knows, since it would take short
 * loops apart instead of using vectors. */
static inline int32_t requantize_s8_filled(int32_t count)
{
    return (count + 7) & ~7;
}

/* requantize_s8_value before its table. */
static inline int8_t requantize_s8_level(const requantize_s8 *q, int32_t accumulator, int32_t channel)
{
    requantize_s8 plain = *q;
    plain.table = NULL;
    return requantize_s8_value(&plain, accumulator, channel);
}

static inline int requantize_s8_by_vectors(const requantize_s8 *q)
{
#if defined(REQUANTIZE_S8_VECTORS)
    return q->kind == REQUANTIZE_HIGH || q->kind == REQUANTIZE_CHANNELS;
#else
    (void)q;
    return 0;
#endif
}

/* levels[i] = requantize_s8_level(q, sums[i], channel + i) for `count` channels, of at most a block; `channel` begins a
 * block. multipliers and shifts of HIGH and CHANNELS are filled up to whole blocks, and so are `sums` and `levels`. */
static inline void requantize_s8_levels(
    const requantize_s8 *q, const int32_t *sums, int32_t channel, int32_t count, int8_t *levels)
{
#if defined(REQUANTIZE_S8_VECTORS)
    if (requantize_s8_by_vectors(q)) {
        requantize_s8_vectors(q, sums, channel, levels);
        return;
    }
#endif
    for (int32_t i = 0; i < count; ++i) {
        levels[i] = requantize_s8_level(q, sums[i], channel + i);
    }
}

/* levels[i] = requantize_s8_level(q, sums[i], channel) for `count` sums of one channel, of at most a block. */
static inline void requantize_s8_channel(
    const requantize_s8 *q, const int32_t *sums, int32_t channel, int32_t count, int8_t *levels)
{
#if defined(REQUANTIZE_S8_ONE_CHANNEL)
    if (requantize_s8_by_vectors(q)) {
        requantize_s8_one_channel(q, sums, channel, levels);
        return;
    }
#endif
    for (int32_t i = 0; i < count; ++i) {
        levels[i] = requantize_s8_level(q, sums[i], channel);
    }
}

/* `count` levels become values. */
static inline void requantize_s8_map(const requantize_s8 *q, int32_t count, int8_t *levels)
{
    if (q->table != NULL) {
        for (int32_t i = 0; i < count; ++i) {
            levels[i] = q->table[levels[i] + 128];
        }
    }
}

/* out[i] = requantize_s8_value(q, sums[i], channel + i): see requantize_s8_levels. */
static inline void requantize_s8_block(
    const requantize_s8 *q, const int32_t *sums, int32_t channel, int32_t count, int8_t *out)
{
    int8_t values[REQUANTIZE_S8_BLOCK] = {0};
    requantize_s8_levels(q, sums, channel, count, values);
    requantize_s8_map(q, count, values);
    requantize_s8_copy(out, values, count);
}

/* The same channels of some pixels: `sums` and `out` of the next one lie `next_sums` and `next_out` further on. */
static inline void requantize_s8_pixels(
    const requantize_s8 *q, int32_t pixels, const int32_t *sums, ptrdiff_t next_sums, int32_t channel, int32_t count,
    int8_t *out, ptrdiff_t next_out)
{
    int32_t i = 0;
#if defined(REQUANTIZE_S8_VECTORS)
    if (count == REQUANTIZE_S8_BLOCK && q->table == NULL && requantize_s8_by_vectors(q)) {
        const requantize_s8 own = *q; /* which no store to `out` can change */
        const requantize_s8_numbers numbers = requantize_s8_numbers_of(&own, channel);
        for (; i < pixels; ++i) {
            requantize_s8_sixteen(&numbers, sums + (i * next_sums), out + (i * next_out));
        }
    }
#endif
    for (; i < pixels; ++i) {
        requantize_s8_block(q, sums + (i * next_sums), channel, count, out + (i * next_out));
    }
}

/* Adds to `count` totals the values of some blocks of levels. */
static inline void requantize_s8_add(
    const requantize_s8 *q, int8_t (*levels)[REQUANTIZE_S8_BLOCK], int32_t blocks, int32_t count, int32_t *totals)
{
    const int8_t *const table = q->table;
    const int32_t filled = requantize_s8_filled(count);
    int32_t k = 0;
    for (; table != NULL && k + 4 <= blocks; k += 4) {
        for (int32_t i = 0; i < count; ++i) {
            const int32_t upper = table[levels[k][i] + 128] + table[levels[k + 1][i] + 128];
            totals[i] += upper + table[levels[k + 2][i] + 128] + table[levels[k + 3][i] + 128];
        }
    }
    for (; k < blocks; ++k) {
        requantize_s8_map(q, count, levels[k]);
        for (int32_t i = 0; i < filled; ++i) {
            totals[i] += levels[k][i];
        }
    }
}

/* WIDE and EVEN of some sums whose products fit 32 bits, as those of the mean of a pool do. */
static inline void requantize_s8_narrow(const requantize_s8 *q, const int32_t *sums, int32_t count, int8_t *y)
{
    const int32_t multiplier = q->multipliers[0];
    const int32_t shift = q->shift;
    const int32_t half = (int32_t)1 << (shift - 1);
    const int32_t zero = q->zero;
    const int32_t low = q->low;
    const int32_t high = q->high;
    const int32_t even = (q->kind == REQUANTIZE_EVEN) ? 1 : 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t product = (sums[i] * multiplier) + half;
        const int32_t tie = ((product & ((2 * half) - 1)) == 0) ? even : 0;
        const int32_t rounded = ((product >> shift) & ~tie) + zero;
        const int32_t raised = (rounded < low) ? low : rounded;
        y[i] = (int8_t)((raised > high) ? high : raised);
    }
}

/* The same as requantize_s8_block with the one multiplier of `q` for all; no sum is beyond `limit`, and the shift of
 * WIDE and EVEN is below 30. */
static inline void requantize_s8_same(
    const requantize_s8 *q, const int32_t *sums, int32_t limit, int32_t count, int8_t *out)
{
    const int wide = q->kind == REQUANTIZE_WIDE || q->kind == REQUANTIZE_EVEN;
    if (wide && ((int64_t)limit * q->multipliers[0]) < ((int64_t)1 << 30)) {
        int8_t values[REQUANTIZE_S8_BLOCK] = {0};
        requantize_s8_narrow(q, sums, requantize_s8_filled(count), values);
        requantize_s8_map(q, count, values);
        requantize_s8_copy(out, values, count);
        return;
    }
    for (int32_t i = 0; i < count; ++i) {
        out[i] = requantize_s8_value(q, sums[i], 0);
    }
}

#endif
