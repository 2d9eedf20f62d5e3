/* Sixteen accumulators to 8 bits with AVX2. */
#ifndef REQUANTIZE_BLOCK_S8_AVX2_H
#define REQUANTIZE_BLOCK_S8_AVX2_H

#include <immintrin.h>

#include "requantize_s8.h"

#define REQUANTIZE_S8_VECTORS
#define REQUANTIZE_S8_ONE_CHANNEL
#define REQUANTIZE_S8_NUMBERS

/* Of eight channels: the multipliers, those of every other one again where they are multiplied, and what
 * ((upper >> shift) + 1) >> 1 comes to, both shifts in one. A shift is below 30 and the upper word of a product within
 * 30 bits and a sign, so that their sum fits. */
typedef struct {
    __m256i multipliers, odd, half, shifts;
} requantize_s8_half;

/* Of sixteen channels. */
typedef struct {
    requantize_s8_half first, second;
    __m256i zero;
    __m128i low, high;
} requantize_s8_numbers;

static inline requantize_s8_half requantize_s8_half_of(__m256i multipliers, __m256i shifts)
{
    const __m256i one = _mm256_set1_epi32(1);
    const requantize_s8_half made = {
        multipliers, _mm256_srli_epi64(multipliers, 32), _mm256_sllv_epi32(one, shifts), _mm256_add_epi32(shifts, one)};
    return made;
}

static inline requantize_s8_numbers
requantize_s8_numbers_with(const requantize_s8 *q, requantize_s8_half first, requantize_s8_half second)
{
    const requantize_s8_numbers made = {
        first, second, _mm256_set1_epi16((int16_t)q->zero), _mm_set1_epi8((int8_t)q->low),
        _mm_set1_epi8((int8_t)q->high)};
    return made;
}

static inline __m256i requantize_s8_shifts(const requantize_s8 *q, int32_t channel)
{
    if (q->kind == REQUANTIZE_HIGH) {
        return _mm256_set1_epi32(q->shift);
    }
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(q->shifts + channel)));
}

static inline requantize_s8_numbers requantize_s8_numbers_of(const requantize_s8 *q, int32_t channel)
{
    const __m256i m0 = _mm256_loadu_si256((const __m256i *)(const void *)(q->multipliers + channel));
    const __m256i m1 = _mm256_loadu_si256((const __m256i *)(const void *)(q->multipliers + channel + 8));
    const requantize_s8_half first = requantize_s8_half_of(m0, requantize_s8_shifts(q, channel));
    const requantize_s8_half second = requantize_s8_half_of(m1, requantize_s8_shifts(q, channel + 8));
    return requantize_s8_numbers_with(q, first, second);
}

static inline __m256i requantize_s8_eight(const requantize_s8_half *n, const int32_t *sums)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)sums);
    const __m256i even = _mm256_mul_epi32(x, n->multipliers);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), n->odd);
    const __m256i upper = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_srav_epi32(_mm256_add_epi32(upper, n->half), n->shifts);
}

/* Saturation on the way to 8 bits is beyond the clamps. */
static inline void requantize_s8_sixteen(const requantize_s8_numbers *n, const int32_t *sums, int8_t *out)
{
    const __m256i first = requantize_s8_eight(&n->first, sums);
    const __m256i second = requantize_s8_eight(&n->second, sums + 8);
    const __m256i words = _mm256_adds_epi16(_mm256_packs_epi32(first, second), n->zero);
    const __m256i ordered = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    const __m128i clamped = _mm_min_epi8(_mm_max_epi8(bytes, n->low), n->high);
    _mm_storeu_si128((__m128i *)(void *)out, clamped);
}

static inline void requantize_s8_vectors(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const requantize_s8_numbers n = requantize_s8_numbers_of(q, channel);
    requantize_s8_sixteen(&n, sums, out);
}

static inline void requantize_s8_one_channel(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    const __m256i m = _mm256_set1_epi32(q->multipliers[channel]);
    const __m256i shifts = _mm256_set1_epi32((q->kind == REQUANTIZE_HIGH) ? q->shift : (int32_t)q->shifts[channel]);
    const requantize_s8_half half = requantize_s8_half_of(m, shifts);
    const requantize_s8_numbers n = requantize_s8_numbers_with(q, half, half);
    requantize_s8_sixteen(&n, sums, out);
}

#endif
