/* Tiles for WebAssembly with simd128: values and weights as 16 bits, so that pairs of products add up exactly. */
#ifndef TILE_S8_WASM_H
#define TILE_S8_WASM_H

#include <string.h>
#include <wasm_simd128.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 2, /* bytes */
    TILE_S8_LANES = 2  /* channels of a vector, two sums each */
};
#define TILE_S8_BIAS bias
#define TILE_S8_ROWS

typedef v128_t tile_s8_vector;
typedef v128_t tile_s8_taps;

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    int32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        wasm_v128_store(tile + ((ptrdiff_t)i * 2), wasm_i16x8_load8x8(values + i));
    }
    for (; i < count; ++i) {
        const int16_t value = values[i];
        memcpy(tile + ((ptrdiff_t)i * 2), &value, sizeof value);
    }
}

static inline tile_s8_vector tile_s8_zero(void)
{
    return wasm_i32x4_splat(0);
}

static inline tile_s8_taps tile_s8_taps_at(const int8_t *weights)
{
    return wasm_i16x8_load8x8(weights);
}

static inline tile_s8_taps tile_s8_quad(const int8_t *x)
{
    return wasm_v128_load64_splat(x);
}

static inline tile_s8_vector tile_s8_add(tile_s8_vector sum, tile_s8_taps x, tile_s8_taps w)
{
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(x, w));
}

static inline void tile_s8_finish(tile_s8_vector a, tile_s8_vector b, const int32_t *bias, int32_t *sums)
{
    const v128_t even = wasm_i32x4_shuffle(a, b, 0, 2, 4, 6);
    const v128_t odd = wasm_i32x4_shuffle(a, b, 1, 3, 5, 7);
    wasm_v128_store(sums, wasm_i32x4_add(wasm_i32x4_add(even, odd), wasm_v128_load(bias)));
}

/* Of rows. */
static inline tile_s8_vector tile_s8_splat(int32_t value)
{
    return wasm_i32x4_splat(value);
}

static inline tile_s8_taps tile_s8_run(const int8_t *x)
{
    return wasm_v128_load(x);
}

static inline void tile_s8_write(tile_s8_vector sum, int32_t *sums)
{
    wasm_v128_store(sums, sum);
}

#endif
