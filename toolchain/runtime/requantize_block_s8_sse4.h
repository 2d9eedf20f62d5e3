/* Sixteen accumulators to 8 bits with SSE4.1. */
#ifndef REQUANTIZE_BLOCK_S8_SSE4_H
#define REQUANTIZE_BLOCK_S8_SSE4_H

#include <smmintrin.h>

#include "requantize_s8.h"

#define REQUANTIZE_S8_VECTORS
#define REQUANTIZE_S8_ONE_CHANNEL

/* The upper words of four products. */
static inline __m128i requantize_s8_upper(const int32_t *sums, __m128i m)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)sums);
    const __m128i even = _mm_mul_epi32(x, m);
    const __m128i odd = _mm_mul_epi32(_mm_srli_epi64(x, 32), _mm_srli_epi64(m, 32));
    return _mm_blend_epi16(_mm_srli_epi64(even, 32), odd, 0xCC);
}

static inline __m128i requantize_s8_clamped(const requantize_s8 *q, __m128i twice)
{
    const __m128i rounded = _mm_srai_epi32(_mm_add_epi32(twice, _mm_set1_epi32(1)), 1);
    const __m128i y = _mm_add_epi32(rounded, _mm_set1_epi32(q->zero));
    return _mm_min_epi32(_mm_max_epi32(y, _mm_set1_epi32(q->low)), _mm_set1_epi32(q->high));
}

static inline __m128i requantize_s8_four(const requantize_s8 *q, const int32_t *sums, int32_t channel)
{
    const __m128i m = _mm_loadu_si128((const __m128i *)(const void *)(q->multipliers + channel));
    const __m128i upper = requantize_s8_upper(sums, m);
    if (q->kind == REQUANTIZE_HIGH) {
        return requantize_s8_clamped(q, _mm_sra_epi32(upper, _mm_cvtsi32_si128(q->shift)));
    }
    const uint8_t *const shifts = q->shifts + channel;
    return requantize_s8_clamped(
        q, _mm_set_epi32(_mm_extract_epi32(upper, 3) >> shifts[3], _mm_extract_epi32(upper, 2) >> shifts[2],
                         _mm_extract_epi32(upper, 1) >> shifts[1], _mm_extract_epi32(upper, 0) >> shifts[0]));
}

static inline void requantize_s8_pack(__m128i a, __m128i b, __m128i c, __m128i d, int8_t *out)
{
    _mm_storeu_si128((__m128i *)(void *)out, _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
}

static inline void requantize_s8_vectors(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const __m128i a = requantize_s8_four(q, sums, channel);
    const __m128i b = requantize_s8_four(q, sums + 4, channel + 4);
    const __m128i c = requantize_s8_four(q, sums + 8, channel + 8);
    const __m128i d = requantize_s8_four(q, sums + 12, channel + 12);
    requantize_s8_pack(a, b, c, d, out);
}

static inline void requantize_s8_one_channel(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const __m128i m = _mm_set1_epi32(q->multipliers[channel]);
    const __m128i shift = _mm_cvtsi32_si128((q->kind == REQUANTIZE_HIGH) ? q->shift : (int32_t)q->shifts[channel]);
    const __m128i a = requantize_s8_clamped(q, _mm_sra_epi32(requantize_s8_upper(sums, m), shift));
    const __m128i b = requantize_s8_clamped(q, _mm_sra_epi32(requantize_s8_upper(sums + 4, m), shift));
    const __m128i c = requantize_s8_clamped(q, _mm_sra_epi32(requantize_s8_upper(sums + 8, m), shift));
    const __m128i d = requantize_s8_clamped(q, _mm_sra_epi32(requantize_s8_upper(sums + 12, m), shift));
    requantize_s8_pack(a, b, c, d, out);
}

#endif
