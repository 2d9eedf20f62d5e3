/* Tiles for x86-64 with AVX-VNNI: four products of an unsigned and a signed byte add up exactly (VPDPBUSD). Values are
 * stored plus 128; the bias makes up for it. */
#ifndef TILE_S8_AVXVNNI_H
#define TILE_S8_AVXVNNI_H

#include <immintrin.h>
#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 1, /* bytes */
    TILE_S8_LANES = 8  /* channels of a vector */
};
#define TILE_S8_BIAS bias_shifted

typedef __m256i tile_s8_vector;
typedef __m256i tile_s8_taps;

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        tile[i] = (int8_t)(values[i] ^ -128);
    }
}

static inline tile_s8_vector tile_s8_zero(void)
{
    return _mm256_setzero_si256();
}

static inline tile_s8_taps tile_s8_taps_at(const int8_t *weights)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)weights);
}

static inline tile_s8_taps tile_s8_quad(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return _mm256_set1_epi32(word);
}

static inline tile_s8_vector tile_s8_add(tile_s8_vector sum, tile_s8_taps x, tile_s8_taps w)
{
    return _mm256_dpbusd_avx_epi32(sum, x, w);
}

static inline void tile_s8_finish(tile_s8_vector a, tile_s8_vector b, const int32_t *bias, int32_t *sums)
{
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)bias);
    const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(bias + 8));
    _mm256_storeu_si256((__m256i *)(void *)sums, _mm256_add_epi32(a, low));
    _mm256_storeu_si256((__m256i *)(void *)(sums + 8), _mm256_add_epi32(b, high));
}

#endif
