/* Sixteen accumulators to 8 bits with AVX2. */
#ifndef REQUANTIZE_BLOCK_S8_AVX2_H
#define REQUANTIZE_BLOCK_S8_AVX2_H

#include <immintrin.h>

#include "requantize_s8.h"

#define REQUANTIZE_S8_VECTORS
#define REQUANTIZE_S8_ONE_CHANNEL

/* Eight sums, with a multiplier and a shift each. */
static inline __m256i requantize_s8_eight(const requantize_s8 *q, const int32_t *sums, __m256i m, __m256i shifts)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)sums);
    const __m256i even = _mm256_mul_epi32(x, m);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(m, 32));
    const __m256i upper = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    const __m256i twice = _mm256_srav_epi32(upper, shifts);
    const __m256i rounded = _mm256_srai_epi32(_mm256_add_epi32(twice, _mm256_set1_epi32(1)), 1);
    const __m256i y = _mm256_add_epi32(rounded, _mm256_set1_epi32(q->zero));
    return _mm256_min_epi32(_mm256_max_epi32(y, _mm256_set1_epi32(q->low)), _mm256_set1_epi32(q->high));
}

static inline void requantize_s8_pack(__m256i low, __m256i high, int8_t *out)
{
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)out, bytes);
}

static inline __m256i requantize_s8_shifts(const requantize_s8 *q, int32_t channel)
{
    if (q->kind == REQUANTIZE_HIGH) {
        return _mm256_set1_epi32(q->shift);
    }
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(q->shifts + channel)));
}

static inline void requantize_s8_vectors(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const __m256i m0 = _mm256_loadu_si256((const __m256i *)(const void *)(q->multipliers + channel));
    const __m256i m1 = _mm256_loadu_si256((const __m256i *)(const void *)(q->multipliers + channel + 8));
    const __m256i low = requantize_s8_eight(q, sums, m0, requantize_s8_shifts(q, channel));
    const __m256i high = requantize_s8_eight(q, sums + 8, m1, requantize_s8_shifts(q, channel + 8));
    requantize_s8_pack(low, high, out);
}

static inline void requantize_s8_one_channel(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const __m256i m = _mm256_set1_epi32(q->multipliers[channel]);
    const __m256i shifts = _mm256_set1_epi32((q->kind == REQUANTIZE_HIGH) ? q->shift : (int32_t)q->shifts[channel]);
    requantize_s8_pack(
        requantize_s8_eight(q, sums, m, shifts), requantize_s8_eight(q, sums + 8, m, shifts), out);
}

#endif
