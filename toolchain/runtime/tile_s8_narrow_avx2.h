/* Sums for AVX2 where weights are small: VPMADDUBSW adds two products of an unsigned and a signed byte in 16 bits,
 * which hold them, and those of the next quad where tile_s8_weights says so. Values are stored plus 128; the bias makes
 * up for it. */
#ifndef TILE_S8_NARROW_AVX2_H
#define TILE_S8_NARROW_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "tile_s8.h"

#define TILE_S8_NARROW

enum { TILE_S8_NARROW_STEP = TILE_S8_BLOCK * TILE_S8_TAPS /* bytes from one quad of weights to the next */ };

typedef struct {
    __m256i a, b; /* sums of eight channels each */
} tile_s8_narrow_sum;

static inline void tile_s8_narrow_store(int8_t *tile, const int8_t *values, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        tile[i] = (int8_t)(values[i] ^ -128);
    }
}

static inline __m256i tile_s8_narrow_vector(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

static inline __m256i tile_s8_narrow_quad(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return _mm256_set1_epi32(word);
}

static inline __m256i tile_s8_narrow_add(__m256i sum, __m256i products)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}

/* From a span on, the quads of which as many add up as of the first. */
static inline int32_t tile_s8_narrow_run(const uint8_t *together, int32_t quads)
{
    int32_t run = TILE_S8_SPAN;
    while (run < quads && together[run / TILE_S8_SPAN] == *together) {
        run += TILE_S8_SPAN;
    }
    return (run < quads) ? run : quads;
}

/* One quad of a window. */
static inline tile_s8_narrow_sum tile_s8_narrow_single(tile_s8_narrow_sum sum, const int8_t *x, const int8_t *weights)
{
    const __m256i quad = tile_s8_narrow_quad(x);
    const __m256i a = _mm256_maddubs_epi16(quad, tile_s8_narrow_vector(weights));
    const __m256i b = _mm256_maddubs_epi16(quad, tile_s8_narrow_vector(weights + 32));
    const tile_s8_narrow_sum made = {tile_s8_narrow_add(sum.a, a), tile_s8_narrow_add(sum.b, b)};
    return made;
}

/* Two quads, added in 16 bits. */
static inline tile_s8_narrow_sum tile_s8_narrow_pair(tile_s8_narrow_sum sum, const int8_t *x, const int8_t *weights)
{
    const int8_t *const next = weights + TILE_S8_NARROW_STEP;
    const __m256i left = tile_s8_narrow_quad(x);
    const __m256i right = tile_s8_narrow_quad(x + TILE_S8_TAPS);
    const __m256i a = _mm256_add_epi16(
        _mm256_maddubs_epi16(left, tile_s8_narrow_vector(weights)),
        _mm256_maddubs_epi16(right, tile_s8_narrow_vector(next)));
    const __m256i b = _mm256_add_epi16(
        _mm256_maddubs_epi16(left, tile_s8_narrow_vector(weights + 32)),
        _mm256_maddubs_epi16(right, tile_s8_narrow_vector(next + 32)));
    const tile_s8_narrow_sum made = {tile_s8_narrow_add(sum.a, a), tile_s8_narrow_add(sum.b, b)};
    return made;
}

#define NARROW_EACH1(DO) DO(0)
#define NARROW_EACH6(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define NARROW_BEGIN(i) \
    const int8_t *const x##i = tile + starts[i]; \
    tile_s8_narrow_sum s##i = bias;
#define NARROW_PAIR(i) s##i = tile_s8_narrow_pair(s##i, x##i + at, weights);
#define NARROW_SINGLE(i) s##i = tile_s8_narrow_single(s##i, x##i + at, weights);
#define NARROW_END(i) \
    _mm256_storeu_si256((__m256i *)(void *)(sums[i] + channel), s##i.a); \
    _mm256_storeu_si256((__m256i *)(void *)(sums[i] + channel + 8), s##i.b);

/* Some windows, block by block of channels. */
#define NARROW_WINDOWS(name, EACH) \
    static inline void name( \
        const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS]) \
    { \
        const int8_t *weights = part->weights; \
        const uint8_t *together = part->narrow; \
        for (int32_t channel = 0; channel < part->channels; channel += TILE_S8_BLOCK) { \
            const int32_t *const shifted = part->bias_shifted + channel; \
            const tile_s8_narrow_sum bias = {tile_s8_narrow_vector(shifted), tile_s8_narrow_vector(shifted + 8)}; \
            EACH(NARROW_BEGIN) \
            for (int32_t row = 0; row < part->window.rows; ++row) { \
                ptrdiff_t at = (ptrdiff_t)row * part->window.pitch; \
                for (int32_t done = 0, run; done < part->window.quads; done += run) { \
                    run = tile_s8_narrow_run(together, part->window.quads - done); \
                    int32_t quads = run; \
                    for (; *together == 2 && quads >= 2; quads -= 2) { \
                        EACH(NARROW_PAIR) \
                        weights += 2 * TILE_S8_NARROW_STEP; \
                        at += 2 * TILE_S8_TAPS; \
                    } \
                    for (; quads > 0; --quads) { \
                        EACH(NARROW_SINGLE) \
                        weights += TILE_S8_NARROW_STEP; \
                        at += TILE_S8_TAPS; \
                    } \
                    together += (run + TILE_S8_SPAN - 1) / TILE_S8_SPAN; \
                } \
            } \
            EACH(NARROW_END) \
        } \
    }

NARROW_WINDOWS(tile_s8_narrow_group, NARROW_EACH6)
NARROW_WINDOWS(tile_s8_narrow_one, NARROW_EACH1)

#endif
