/* Tiles for every x86-64 (SSE2): values and weights as 16 bits, so that pairs of products add up exactly (PMADDWD). */
#ifndef TILE_S8_SSE2_H
#define TILE_S8_SSE2_H

#include <emmintrin.h>
#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 2, /* bytes */
    TILE_S8_LANES = 2  /* channels of a vector, two sums each */
};
#define TILE_S8_BIAS bias
#define TILE_S8_ROWS

typedef __m128i tile_s8_vector;
typedef __m128i tile_s8_taps;

static inline __m128i tile_s8_eight(const int8_t *values)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)values);
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    int32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        _mm_storeu_si128((__m128i *)(void *)(tile + ((ptrdiff_t)i * 2)), tile_s8_eight(values + i));
    }
    for (; i < count; ++i) {
        const int16_t value = values[i];
        memcpy(tile + ((ptrdiff_t)i * 2), &value, sizeof value);
    }
}

static inline tile_s8_vector tile_s8_zero(void)
{
    return _mm_setzero_si128();
}

static inline tile_s8_taps tile_s8_taps_at(const int8_t *weights)
{
    return tile_s8_eight(weights);
}

static inline tile_s8_taps tile_s8_quad(const int8_t *x)
{
    const __m128i four = _mm_loadl_epi64((const __m128i *)(const void *)x);
    return _mm_unpacklo_epi64(four, four);
}

static inline tile_s8_vector tile_s8_add(tile_s8_vector sum, tile_s8_taps x, tile_s8_taps w)
{
    return _mm_add_epi32(sum, _mm_madd_epi16(x, w));
}

static inline void tile_s8_finish(tile_s8_vector a, tile_s8_vector b, const int32_t *bias, int32_t *sums)
{
    const __m128 left = _mm_castsi128_ps(a);
    const __m128 right = _mm_castsi128_ps(b);
    const __m128i even = _mm_castps_si128(_mm_shuffle_ps(left, right, _MM_SHUFFLE(2, 0, 2, 0)));
    const __m128i odd = _mm_castps_si128(_mm_shuffle_ps(left, right, _MM_SHUFFLE(3, 1, 3, 1)));
    const __m128i start = _mm_loadu_si128((const __m128i *)(const void *)bias);
    _mm_storeu_si128((__m128i *)(void *)sums, _mm_add_epi32(_mm_add_epi32(even, odd), start));
}

/* Of rows. */
static inline tile_s8_vector tile_s8_splat(int32_t value)
{
    return _mm_set1_epi32(value);
}

static inline tile_s8_taps tile_s8_run(const int8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

static inline void tile_s8_write(tile_s8_vector sum, int32_t *sums)
{
    _mm_storeu_si128((__m128i *)(void *)sums, sum);
}

#endif
