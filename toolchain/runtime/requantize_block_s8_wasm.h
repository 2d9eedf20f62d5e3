/* Sixteen accumulators to 8 bits with WebAssembly's simd128. */
#ifndef REQUANTIZE_BLOCK_S8_WASM_H
#define REQUANTIZE_BLOCK_S8_WASM_H

#include <wasm_simd128.h>

#include "requantize_s8.h"

#define REQUANTIZE_S8_VECTORS
#define REQUANTIZE_S8_ONE_CHANNEL

/* The upper words of four products. */
static inline v128_t requantize_s8_upper(const int32_t *sums, v128_t m)
{
    const v128_t x = wasm_v128_load(sums);
    const v128_t low = wasm_i64x2_extmul_low_i32x4(x, m);
    const v128_t high = wasm_i64x2_extmul_high_i32x4(x, m);
    return wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
}

static inline v128_t requantize_s8_clamped(const requantize_s8 *q, v128_t twice)
{
    const v128_t rounded = wasm_i32x4_shr(wasm_i32x4_add(twice, wasm_i32x4_splat(1)), 1);
    const v128_t y = wasm_i32x4_add(rounded, wasm_i32x4_splat(q->zero));
    return wasm_i32x4_min(wasm_i32x4_max(y, wasm_i32x4_splat(q->low)), wasm_i32x4_splat(q->high));
}

static inline v128_t requantize_s8_four(const requantize_s8 *q, const int32_t *sums, int32_t channel)
{
    const v128_t upper = requantize_s8_upper(sums, wasm_v128_load(q->multipliers + channel));
    if (q->kind == REQUANTIZE_HIGH) {
        return requantize_s8_clamped(q, wasm_i32x4_shr(upper, (uint32_t)q->shift));
    }
    const uint8_t *const s = q->shifts + channel;
    return requantize_s8_clamped(
        q, wasm_i32x4_make(wasm_i32x4_extract_lane(upper, 0) >> s[0], wasm_i32x4_extract_lane(upper, 1) >> s[1],
                           wasm_i32x4_extract_lane(upper, 2) >> s[2], wasm_i32x4_extract_lane(upper, 3) >> s[3]));
}

static inline void requantize_s8_pack(v128_t a, v128_t b, v128_t c, v128_t d, int8_t *out)
{
    wasm_v128_store(out, wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(a, b), wasm_i16x8_narrow_i32x4(c, d)));
}

static inline void requantize_s8_vectors(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const v128_t a = requantize_s8_four(q, sums, channel);
    const v128_t b = requantize_s8_four(q, sums + 4, channel + 4);
    const v128_t c = requantize_s8_four(q, sums + 8, channel + 8);
    const v128_t d = requantize_s8_four(q, sums + 12, channel + 12);
    requantize_s8_pack(a, b, c, d, out);
}

static inline void requantize_s8_one_channel(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const v128_t m = wasm_i32x4_splat(q->multipliers[channel]);
    const uint32_t shift = (q->kind == REQUANTIZE_HIGH) ? (uint32_t)q->shift : (uint32_t)q->shifts[channel];
    const v128_t a = requantize_s8_clamped(q, wasm_i32x4_shr(requantize_s8_upper(sums, m), shift));
    const v128_t b = requantize_s8_clamped(q, wasm_i32x4_shr(requantize_s8_upper(sums + 4, m), shift));
    const v128_t c = requantize_s8_clamped(q, wasm_i32x4_shr(requantize_s8_upper(sums + 8, m), shift));
    const v128_t d = requantize_s8_clamped(q, wasm_i32x4_shr(requantize_s8_upper(sums + 12, m), shift));
    requantize_s8_pack(a, b, c, d, out);
}

#endif
