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

/* Few bytes, of which a call of memcpy would take longer. */
static inline void requantize_s8_copy(int8_t *out, const int8_t *from, int32_t count)
{
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

/* out[i] = requantize_s8_value(q, sums[i], channel + i) for `count` channels, of at most a block; `channel` begins a
 * block. multipliers and shifts of HIGH and CHANNELS are filled up to whole blocks, and so is `sums`. */
static inline void requantize_s8_block(
    const requantize_s8 *q, const int32_t *sums, int32_t channel, int32_t count, int8_t *out)
{
#if defined(REQUANTIZE_S8_VECTORS)
    if (q->kind == REQUANTIZE_HIGH || q->kind == REQUANTIZE_CHANNELS) {
        int8_t block[REQUANTIZE_S8_BLOCK];
        requantize_s8_vectors(q, sums, channel, block);
        if (q->table != NULL) {
            for (int32_t i = 0; i < count; ++i) {
                out[i] = q->table[block[i] + 128];
            }
        } else if (count == REQUANTIZE_S8_BLOCK) {
            memcpy(out, block, REQUANTIZE_S8_BLOCK);
        } else {
            requantize_s8_copy(out, block, count);
        }
        return;
    }
#endif
    for (int32_t i = 0; i < count; ++i) {
        out[i] = requantize_s8_value(q, sums[i], channel + i);
    }
}

/* WIDE and EVEN of a block whose products fit 32 bits, as those of the mean of a pool do. */
static inline void requantize_s8_narrow(const requantize_s8 *q, const int32_t *sums, int32_t *y)
{
    const int32_t half = (int32_t)1 << (q->shift - 1);
    const int32_t even = (q->kind == REQUANTIZE_EVEN) ? 1 : 0;
    for (int32_t i = 0; i < REQUANTIZE_S8_BLOCK; ++i) {
        const int32_t product = (sums[i] * q->multipliers[0]) + half;
        const int32_t tie = ((product & ((2 * half) - 1)) == 0) ? even : 0;
        const int32_t rounded = ((product >> q->shift) & ~tie) + q->zero;
        const int32_t raised = (rounded < q->low) ? q->low : rounded;
        y[i] = (raised > q->high) ? q->high : raised;
    }
}

/* The same as requantize_s8_block with the one multiplier of `q` for all; no sum is beyond `limit`. */
static inline void requantize_s8_same(
    const requantize_s8 *q, const int32_t *sums, int32_t limit, int32_t count, int8_t *out)
{
    const int wide = q->kind == REQUANTIZE_WIDE || q->kind == REQUANTIZE_EVEN;
    if (wide && q->shift < 30 && ((int64_t)limit * q->multipliers[0]) < ((int64_t)1 << 30)) {
        int32_t y[REQUANTIZE_S8_BLOCK];
        requantize_s8_narrow(q, sums, y);
        for (int32_t i = 0; i < count; ++i) {
            if (q->table != NULL) {
                out[i] = q->table[y[i] + 128];
            } else {
                out[i] = (int8_t)y[i];
            }
        }
        return;
    }
    for (int32_t i = 0; i < count; ++i) {
        out[i] = requantize_s8_value(q, sums[i], 0);
    }
}

#endif
