/* Tiles for x86-64 with AVX2: values and weights as 16 bits, so that pairs of products add up exactly (VPMADDWD). */
#ifndef TILE_S8_AVX2_H
#define TILE_S8_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 2, /* bytes */
    TILE_S8_LANES = 4  /* channels of a vector, two sums each */
};
#define TILE_S8_BIAS bias
#define TILE_S8_ROWS

typedef __m256i tile_s8_vector;
typedef __m256i tile_s8_taps;

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    int32_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(values + i));
        _mm256_storeu_si256((__m256i *)(void *)(tile + ((ptrdiff_t)i * 2)), _mm256_cvtepi8_epi16(bytes));
    }
    for (; i < count; ++i) {
        const int16_t value = values[i];
        memcpy(tile + ((ptrdiff_t)i * 2), &value, sizeof value);
    }
}

static inline tile_s8_vector tile_s8_zero(void)
{
    return _mm256_setzero_si256();
}

static inline tile_s8_taps tile_s8_taps_at(const int8_t *weights)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)weights));
}

static inline tile_s8_taps tile_s8_quad(const int8_t *x)
{
    return _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)x));
}

static inline tile_s8_vector tile_s8_add(tile_s8_vector sum, tile_s8_taps x, tile_s8_taps w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}

static inline void tile_s8_finish(tile_s8_vector a, tile_s8_vector b, const int32_t *bias, int32_t *sums)
{
    const __m256i mixed = _mm256_hadd_epi32(a, b); /* channels 0 1 4 5 2 3 6 7 */
    const __m256i ordered = _mm256_permute4x64_epi64(mixed, _MM_SHUFFLE(3, 1, 2, 0));
    const __m256i start = _mm256_loadu_si256((const __m256i *)(const void *)bias);
    _mm256_storeu_si256((__m256i *)(void *)sums, _mm256_add_epi32(ordered, start));
}

/* Of rows. */
static inline tile_s8_vector tile_s8_splat(int32_t value)
{
    return _mm256_set1_epi32(value);
}

static inline tile_s8_taps tile_s8_run(const int8_t *x)
{
    return _mm256_lddqu_si256((const __m256i *)(const void *)x); /* gcc would load it again for each product */
}

static inline void tile_s8_write(tile_s8_vector sum, int32_t *sums)
{
    _mm256_storeu_si256((__m256i *)(void *)sums, sum);
}

#endif
