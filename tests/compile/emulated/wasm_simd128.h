/* The instructions of WebAssembly's simd128 that kernels use, in C by their definitions in the WebAssembly Core
 * Specification (2.0, section 4.3): so that a compiler for this machine builds, runs and counts what stands behind
 * __wasm_simd128__. */
#ifndef EMULATED_WASM_SIMD128_H
#define EMULATED_WASM_SIMD128_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef union {
    int8_t b[16];
    int16_t h[8];
    int32_t i[4];
    int64_t l[2];
    float f[4];
    uint32_t u[4];
} v128_t;

#define EMULATED_EACH(lane, count) for (int lane = 0; lane < (count); ++lane)
#define EMULATED_F32(name, expression)                   \
    static inline v128_t name(v128_t a, v128_t b)        \
    {                                                    \
        v128_t y;                                        \
        EMULATED_EACH(k, 4) { y.f[k] = (expression); }   \
        return y;                                        \
    }
#define EMULATED_U32(name, expression)                   \
    static inline v128_t name(v128_t a, v128_t b)        \
    {                                                    \
        v128_t y;                                        \
        EMULATED_EACH(k, 4) { y.u[k] = (expression); }   \
        return y;                                        \
    }

/* NaN if either is; of two zeros the negative is the smaller. */
static inline float emulated_least(float a, float b)
{
    return (isnan(a) || isnan(b)) ? NAN : (a == b) ? (signbit(a) ? a : b) : ((a < b) ? a : b);
}

static inline float emulated_most(float a, float b)
{
    return (isnan(a) || isnan(b)) ? NAN : (a == b) ? (signbit(a) ? b : a) : ((a > b) ? a : b);
}

EMULATED_F32(wasm_f32x4_mul, a.f[k] * b.f[k])
EMULATED_F32(wasm_f32x4_sub, a.f[k] - b.f[k])
EMULATED_F32(wasm_f32x4_min, emulated_least(a.f[k], b.f[k]))
EMULATED_F32(wasm_f32x4_max, emulated_most(a.f[k], b.f[k]))
EMULATED_U32(wasm_f32x4_eq, (a.f[k] == b.f[k]) ? UINT32_MAX : 0u)
EMULATED_U32(wasm_f32x4_gt, (a.f[k] > b.f[k]) ? UINT32_MAX : 0u)
EMULATED_U32(wasm_v128_and, a.u[k] & b.u[k])
EMULATED_U32(wasm_i32x4_add, a.u[k] + b.u[k])
EMULATED_U32(wasm_i32x4_min, (uint32_t)((a.i[k] < b.i[k]) ? a.i[k] : b.i[k]))
EMULATED_U32(wasm_i32x4_max, (uint32_t)((a.i[k] > b.i[k]) ? a.i[k] : b.i[k]))
EMULATED_U32(wasm_i32x4_dot_i16x8, ((uint32_t)(a.h[2 * k] * b.h[2 * k])) + (uint32_t)(a.h[2 * k + 1] * b.h[2 * k + 1]))

static inline v128_t wasm_v128_load(const void *from)
{
    v128_t y;
    memcpy(&y, from, sizeof y);
    return y;
}

static inline void wasm_v128_store(void *to, v128_t x)
{
    memcpy(to, &x, sizeof x);
}

static inline v128_t wasm_v128_load64_splat(const void *from)
{
    v128_t y;
    memcpy(&y.l[0], from, sizeof y.l[0]);
    y.l[1] = y.l[0];
    return y;
}

static inline v128_t wasm_i16x8_load8x8(const void *from)
{
    int8_t bytes[8];
    v128_t y;
    memcpy(bytes, from, sizeof bytes);
    EMULATED_EACH(k, 8) { y.h[k] = bytes[k]; }
    return y;
}

static inline v128_t wasm_i32x4_make(int32_t a, int32_t b, int32_t c, int32_t d)
{
    const v128_t y = {.i = {a, b, c, d}};
    return y;
}

static inline v128_t wasm_i32x4_splat(int32_t x)
{
    return wasm_i32x4_make(x, x, x, x);
}

static inline v128_t wasm_f32x4_splat(float x)
{
    const v128_t y = {.f = {x, x, x, x}};
    return y;
}

static inline int32_t emulated_lane(v128_t x, int lane)
{
    return x.i[lane];
}
#define wasm_i32x4_extract_lane(x, lane) emulated_lane((x), (lane))

static inline v128_t emulated_shuffle(v128_t a, v128_t b, const int *lanes)
{
    v128_t y;
    EMULATED_EACH(k, 4) { y.i[k] = (lanes[k] < 4) ? a.i[lanes[k]] : b.i[lanes[k] - 4]; }
    return y;
}
#define wasm_i32x4_shuffle(a, b, c0, c1, c2, c3) emulated_shuffle((a), (b), (const int[4]){(c0), (c1), (c2), (c3)})

static inline v128_t emulated_shuffle_16(v128_t a, v128_t b, const int *lanes)
{
    v128_t y;
    EMULATED_EACH(k, 8) { y.h[k] = (lanes[k] < 8) ? a.h[lanes[k]] : b.h[lanes[k] - 8]; }
    return y;
}
#define wasm_i16x8_shuffle(a, b, c0, c1, c2, c3, c4, c5, c6, c7) \
    emulated_shuffle_16((a), (b), (const int[8]){(c0), (c1), (c2), (c3), (c4), (c5), (c6), (c7)})

static inline v128_t wasm_i32x4_shr(v128_t x, uint32_t by)
{
    EMULATED_EACH(k, 4) { x.i[k] >>= by % 32u; }
    return x;
}

static inline v128_t emulated_products(v128_t a, v128_t b, int first)
{
    v128_t y;
    EMULATED_EACH(k, 2) { y.l[k] = (int64_t)a.i[first + k] * b.i[first + k]; }
    return y;
}
#define wasm_i64x2_extmul_low_i32x4(a, b) emulated_products((a), (b), 0)
#define wasm_i64x2_extmul_high_i32x4(a, b) emulated_products((a), (b), 2)

static inline int32_t emulated_clamped(int32_t x, int32_t low, int32_t high)
{
    return (x < low) ? low : ((x > high) ? high : x);
}

static inline v128_t wasm_i16x8_narrow_i32x4(v128_t a, v128_t b)
{
    v128_t y;
    EMULATED_EACH(k, 8) { y.h[k] = (int16_t)emulated_clamped((k < 4) ? a.i[k] : b.i[k - 4], INT16_MIN, INT16_MAX); }
    return y;
}

static inline v128_t wasm_i8x16_narrow_i16x8(v128_t a, v128_t b)
{
    v128_t y;
    EMULATED_EACH(k, 16) { y.b[k] = (int8_t)emulated_clamped((k < 8) ? a.h[k] : b.h[k - 8], INT8_MIN, INT8_MAX); }
    return y;
}

static inline v128_t wasm_f32x4_abs(v128_t x)
{
    EMULATED_EACH(k, 4) { x.f[k] = fabsf(x.f[k]); }
    return x;
}

static inline v128_t wasm_f32x4_nearest(v128_t x)
{
    EMULATED_EACH(k, 4) { x.f[k] = rintf(x.f[k]); }
    return x;
}

/* Towards zero, saturated; 0 for a NaN. */
static inline v128_t wasm_i32x4_trunc_sat_f32x4(v128_t x)
{
    v128_t y;
    EMULATED_EACH(k, 4)
    {
        const float v = x.f[k];
        y.i[k] = isnan(v) ? 0 : (v >= 0x1p31f) ? INT32_MAX : (v < -0x1p31f) ? INT32_MIN : (int32_t)v;
    }
    return y;
}

static inline int32_t wasm_v128_any_true(v128_t x)
{
    return (x.u[0] | x.u[1] | x.u[2] | x.u[3]) != 0u;
}

#endif
