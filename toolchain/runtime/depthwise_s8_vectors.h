/* Sums of 16 neighbouring channels of a depthwise convolution, two taps at a time: AVX2, SSE2, NEON, WebAssembly. */
#ifndef DEPTHWISE_S8_VECTORS_H
#define DEPTHWISE_S8_VECTORS_H

#include <stddef.h>
#include <stdint.h>

/* sums[i] = bias[i] + the products of the bytes at taps[t] + at + i with weights[t / 2 * pitch + 2 * i + t % 2]. */
#if defined(__AVX2__)
#include <immintrin.h>
#define DEPTHWISE_S8_VECTORS

static inline __m256i depthwise_s8_eight(__m256i sum, __m128i pairs, const int16_t *weights)
{
    const __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)weights);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(pairs), w));
}

static inline void depthwise_s8_sixteen(
    const int8_t *const *taps, int32_t pairs, ptrdiff_t at, const int16_t *weights, ptrdiff_t pitch,
    const int32_t *bias, int32_t *sums)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)bias);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(bias + 8));
    for (int32_t pair = 0; pair < pairs; ++pair) {
        const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(taps[0] + at));
        const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(taps[1] + at));
        low = depthwise_s8_eight(low, _mm_unpacklo_epi8(a, b), weights);
        high = depthwise_s8_eight(high, _mm_unpackhi_epi8(a, b), weights + 16);
        taps += 2;
        weights += pitch;
    }
    _mm256_storeu_si256((__m256i *)(void *)sums, low);
    _mm256_storeu_si256((__m256i *)(void *)(sums + 8), high);
}
#elif defined(__SSE2__)
#include <emmintrin.h>
#define DEPTHWISE_S8_VECTORS

static inline __m128i depthwise_s8_four(__m128i sum, __m128i doubled, const int16_t *weights)
{
    const __m128i w = _mm_loadu_si128((const __m128i *)(const void *)weights);
    return _mm_add_epi32(sum, _mm_madd_epi16(_mm_srai_epi16(doubled, 8), w));
}

static inline void depthwise_s8_sixteen(
    const int8_t *const *taps, int32_t pairs, ptrdiff_t at, const int16_t *weights, ptrdiff_t pitch,
    const int32_t *bias, int32_t *sums)
{
    __m128i s0 = _mm_loadu_si128((const __m128i *)(const void *)bias);
    __m128i s1 = _mm_loadu_si128((const __m128i *)(const void *)(bias + 4));
    __m128i s2 = _mm_loadu_si128((const __m128i *)(const void *)(bias + 8));
    __m128i s3 = _mm_loadu_si128((const __m128i *)(const void *)(bias + 12));
    for (int32_t pair = 0; pair < pairs; ++pair) {
        const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(taps[0] + at));
        const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(taps[1] + at));
        const __m128i low = _mm_unpacklo_epi8(a, b);
        const __m128i high = _mm_unpackhi_epi8(a, b);
        s0 = depthwise_s8_four(s0, _mm_unpacklo_epi8(low, low), weights);
        s1 = depthwise_s8_four(s1, _mm_unpackhi_epi8(low, low), weights + 8);
        s2 = depthwise_s8_four(s2, _mm_unpacklo_epi8(high, high), weights + 16);
        s3 = depthwise_s8_four(s3, _mm_unpackhi_epi8(high, high), weights + 24);
        taps += 2;
        weights += pitch;
    }
    _mm_storeu_si128((__m128i *)(void *)sums, s0);
    _mm_storeu_si128((__m128i *)(void *)(sums + 4), s1);
    _mm_storeu_si128((__m128i *)(void *)(sums + 8), s2);
    _mm_storeu_si128((__m128i *)(void *)(sums + 12), s3);
}
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define DEPTHWISE_S8_VECTORS

static inline void depthwise_s8_sixteen(
    const int8_t *const *taps, int32_t pairs, ptrdiff_t at, const int16_t *weights, ptrdiff_t pitch,
    const int32_t *bias, int32_t *sums)
{
    int32x4_t s0 = vld1q_s32(bias);
    int32x4_t s1 = vld1q_s32(bias + 4);
    int32x4_t s2 = vld1q_s32(bias + 8);
    int32x4_t s3 = vld1q_s32(bias + 12);
    for (int32_t pair = 0; pair < pairs; ++pair) {
        const int16x8x2_t low = vld2q_s16(weights); /* of the first taps, of the second ones */
        const int16x8x2_t high = vld2q_s16(weights + 16);
        for (int32_t k = 0; k < 2; ++k) {
            const int8x16_t x = vld1q_s8(taps[k] + at);
            const int16x8_t a = vmovl_s8(vget_low_s8(x));
            const int16x8_t b = vmovl_s8(vget_high_s8(x));
            s0 = vmlal_s16(s0, vget_low_s16(a), vget_low_s16(low.val[k]));
            s1 = vmlal_s16(s1, vget_high_s16(a), vget_high_s16(low.val[k]));
            s2 = vmlal_s16(s2, vget_low_s16(b), vget_low_s16(high.val[k]));
            s3 = vmlal_s16(s3, vget_high_s16(b), vget_high_s16(high.val[k]));
        }
        taps += 2;
        weights += pitch;
    }
    vst1q_s32(sums, s0);
    vst1q_s32(sums + 4, s1);
    vst1q_s32(sums + 8, s2);
    vst1q_s32(sums + 12, s3);
}
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define DEPTHWISE_S8_VECTORS

static inline void depthwise_s8_sixteen(
    const int8_t *const *taps, int32_t pairs, ptrdiff_t at, const int16_t *weights, ptrdiff_t pitch,
    const int32_t *bias, int32_t *sums)
{
    v128_t s0 = wasm_v128_load(bias);
    v128_t s1 = wasm_v128_load(bias + 4);
    v128_t s2 = wasm_v128_load(bias + 8);
    v128_t s3 = wasm_v128_load(bias + 12);
    for (int32_t pair = 0; pair < pairs; ++pair) {
        const v128_t a = wasm_i16x8_load8x8(taps[0] + at);
        const v128_t b = wasm_i16x8_load8x8(taps[1] + at);
        const v128_t c = wasm_i16x8_load8x8(taps[0] + at + 8);
        const v128_t d = wasm_i16x8_load8x8(taps[1] + at + 8);
        const v128_t x0 = wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        const v128_t x1 = wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
        const v128_t x2 = wasm_i16x8_shuffle(c, d, 0, 8, 1, 9, 2, 10, 3, 11);
        const v128_t x3 = wasm_i16x8_shuffle(c, d, 4, 12, 5, 13, 6, 14, 7, 15);
        s0 = wasm_i32x4_add(s0, wasm_i32x4_dot_i16x8(x0, wasm_v128_load(weights)));
        s1 = wasm_i32x4_add(s1, wasm_i32x4_dot_i16x8(x1, wasm_v128_load(weights + 8)));
        s2 = wasm_i32x4_add(s2, wasm_i32x4_dot_i16x8(x2, wasm_v128_load(weights + 16)));
        s3 = wasm_i32x4_add(s3, wasm_i32x4_dot_i16x8(x3, wasm_v128_load(weights + 24)));
        taps += 2;
        weights += pitch;
    }
    wasm_v128_store(sums, s0);
    wasm_v128_store(sums + 4, s1);
    wasm_v128_store(sums + 8, s2);
    wasm_v128_store(sums + 12, s3);
}
#endif

#endif
