/* Four values at a time to the nearest integers: SSE2, NEON, WebAssembly. */
#ifndef QUANTIZE_F32_S8_VECTORS_H
#define QUANTIZE_F32_S8_VECTORS_H

#include <stdint.h>

/* nearest[i] = value[i] * reciprocal, between -limit and limit, rounded; 0 for a NaN. Not 0 if a product lies further
 * than `sure` from its integer, so that it may be another. */
#if defined(__SSE2__)
#include <emmintrin.h>
#define QUANTIZE_F32_S8_VECTORS

static inline int32_t quantize_f32_s8_four(
    const float *values, float reciprocal, float limit, float sure, int32_t *nearest)
{
    const __m128 product = _mm_mul_ps(_mm_loadu_ps(values), _mm_set1_ps(reciprocal));
    const __m128 known = _mm_and_ps(product, _mm_cmpord_ps(product, product));
    const __m128 quotient = _mm_min_ps(_mm_max_ps(known, _mm_set1_ps(-limit)), _mm_set1_ps(limit));
    const __m128i rounded = _mm_cvtps_epi32(quotient);
    const __m128 rest = _mm_sub_ps(quotient, _mm_cvtepi32_ps(rounded));
    const __m128 distance = _mm_andnot_ps(_mm_set1_ps(-0.0f), rest);
    _mm_storeu_si128((__m128i *)(void *)nearest, rounded);
    return _mm_movemask_ps(_mm_cmpgt_ps(distance, _mm_set1_ps(sure)));
}
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define QUANTIZE_F32_S8_VECTORS

static inline int32_t quantize_f32_s8_four(
    const float *values, float reciprocal, float limit, float sure, int32_t *nearest)
{
    const float32x4_t product = vmulq_f32(vld1q_f32(values), vdupq_n_f32(reciprocal));
    const uint32x4_t known = vandq_u32(vreinterpretq_u32_f32(product), vceqq_f32(product, product));
    const float32x4_t raised = vmaxq_f32(vreinterpretq_f32_u32(known), vdupq_n_f32(-limit));
    const float32x4_t quotient = vminq_f32(raised, vdupq_n_f32(limit));
    const uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(quotient), vdupq_n_u32(0x80000000U));
    const uint32x4_t half = vorrq_u32(sign, vreinterpretq_u32_f32(vdupq_n_f32(0.5f)));
    const int32x4_t rounded = vcvtq_s32_f32(vaddq_f32(quotient, vreinterpretq_f32_u32(half)));
    const float32x4_t distance = vabdq_f32(quotient, vcvtq_f32_s32(rounded));
    const uint32x4_t doubt = vcgtq_f32(distance, vdupq_n_f32(sure));
    const uint32x2_t either = vorr_u32(vget_low_u32(doubt), vget_high_u32(doubt));
    vst1q_s32(nearest, rounded);
    return (int32_t)(vget_lane_u32(either, 0) | vget_lane_u32(either, 1));
}
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define QUANTIZE_F32_S8_VECTORS

static inline int32_t quantize_f32_s8_four(
    const float *values, float reciprocal, float limit, float sure, int32_t *nearest)
{
    const v128_t product = wasm_f32x4_mul(wasm_v128_load(values), wasm_f32x4_splat(reciprocal));
    const v128_t known = wasm_v128_and(product, wasm_f32x4_eq(product, product));
    const v128_t raised = wasm_f32x4_max(known, wasm_f32x4_splat(-limit));
    const v128_t whole = wasm_f32x4_nearest(wasm_f32x4_min(raised, wasm_f32x4_splat(limit)));
    const v128_t rest = wasm_f32x4_sub(wasm_f32x4_min(raised, wasm_f32x4_splat(limit)), whole);
    const v128_t doubt = wasm_f32x4_gt(wasm_f32x4_abs(rest), wasm_f32x4_splat(sure));
    wasm_v128_store(nearest, wasm_i32x4_trunc_sat_f32x4(whole));
    return wasm_v128_any_true(doubt) ? 1 : 0;
}
#endif

#endif
