/* Sixteen accumulators to 8 bits with WebAssembly's simd128. */
#ifndef REQUANTIZE_BLOCK_S8_WASM_H
#define REQUANTIZE_BLOCK_S8_WASM_H

#include <wasm_simd128.h>

#include "requantize_s8.h"

#define REQUANTIZE_S8_VECTORS

static inline v128_t requantize_s8_four(const requantize_s8 *q, const int32_t *sums, int32_t channel)
{
    const v128_t x = wasm_v128_load(sums);
    const v128_t m = wasm_v128_load(q->multipliers + channel);
    const v128_t low = wasm_i64x2_extmul_low_i32x4(x, m);
    const v128_t high = wasm_i64x2_extmul_high_i32x4(x, m);
    const v128_t upper = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
    v128_t twice;
    if (q->kind == REQUANTIZE_HIGH) {
        twice = wasm_i32x4_shr(upper, (uint32_t)q->shift);
    } else {
        const uint8_t *const s = q->shifts + channel;
        twice = wasm_i32x4_make(wasm_i32x4_extract_lane(upper, 0) >> s[0], wasm_i32x4_extract_lane(upper, 1) >> s[1],
                                wasm_i32x4_extract_lane(upper, 2) >> s[2], wasm_i32x4_extract_lane(upper, 3) >> s[3]);
    }
    const v128_t rounded = wasm_i32x4_shr(wasm_i32x4_add(twice, wasm_i32x4_splat(1)), 1);
    const v128_t y = wasm_i32x4_add(rounded, wasm_i32x4_splat(q->zero));
    return wasm_i32x4_min(wasm_i32x4_max(y, wasm_i32x4_splat(q->low)), wasm_i32x4_splat(q->high));
}

static inline void requantize_s8_vectors(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const v128_t a = requantize_s8_four(q, sums, channel);
    const v128_t b = requantize_s8_four(q, sums + 4, channel + 4);
    const v128_t c = requantize_s8_four(q, sums + 8, channel + 8);
    const v128_t d = requantize_s8_four(q, sums + 12, channel + 12);
    wasm_v128_store(out, wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(a, b), wasm_i16x8_narrow_i32x4(c, d)));
}

#endif
