/* Tiles for x86-64 with AVX-512 VNNI: four products of an unsigned and a signed byte add up exactly (VPDPBUSD). Values
 * are stored plus 128; the bias makes up for it. */
#ifndef TILE_S8_AVX512_H
#define TILE_S8_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 1, /* bytes */
    TILE_S8_GROUP = 8, /* windows: as many addresses as there are registers for */
    TILE_S8_STEP = TILE_S8_BLOCK * TILE_S8_TAPS
};

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        tile[i] = (int8_t)(values[i] ^ -128);
    }
}

static inline __m512i tile_s8_quad(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return _mm512_set1_epi32(word);
}

static inline __m512i tile_s8_add(__m512i sum, __m512i x, __m512i w)
{
#if defined(__GNUC__) && !defined(__clang__) && !defined(TILE_S8_NO_ASSEMBLER)
    /* gcc 12 copies the sums of its own function to memory and back. */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
#else
    return _mm512_dpbusd_epi32(sum, x, w);
#endif
}

typedef struct {
    __m512i a, b;
} tile_s8_sum;

static inline tile_s8_sum tile_s8_product(tile_s8_sum sum, const int8_t *x, __m512i a, __m512i b)
{
    const __m512i quad = tile_s8_quad(x);
    const tile_s8_sum made = {tile_s8_add(sum.a, quad, a), tile_s8_add(sum.b, quad, b)};
    return made;
}

static inline void tile_s8_finish(tile_s8_sum sum, int32_t *sums)
{
    _mm512_storeu_si512(sums, sum.a);
    _mm512_storeu_si512(sums + TILE_S8_BLOCK, sum.b);
}

static inline void tile_s8_two_blocks(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS])
{
    const ptrdiff_t second = (ptrdiff_t)part->window.rows * part->window.quads * TILE_S8_STEP;
    const int8_t *const x0 = tile + starts[0];
    const int8_t *const x1 = tile + starts[1];
    const int8_t *const x2 = tile + starts[2];
    const int8_t *const x3 = tile + starts[3];
    const int8_t *const x4 = tile + starts[4];
    const int8_t *const x5 = tile + starts[5];
    const int8_t *const x6 = tile + starts[6];
    const int8_t *const x7 = tile + starts[7];
    const int8_t *weights = part->weights;
    const tile_s8_sum bias = {
        _mm512_loadu_si512(part->bias_shifted), _mm512_loadu_si512(part->bias_shifted + TILE_S8_BLOCK)};
    tile_s8_sum s0 = bias;
    tile_s8_sum s1 = bias;
    tile_s8_sum s2 = bias;
    tile_s8_sum s3 = bias;
    tile_s8_sum s4 = bias;
    tile_s8_sum s5 = bias;
    tile_s8_sum s6 = bias;
    tile_s8_sum s7 = bias;
    for (int32_t row = 0; row < part->window.rows; ++row) {
        ptrdiff_t at = (ptrdiff_t)row * part->window.pitch;
        for (int32_t quad = part->window.quads; quad > 0; --quad) {
            const __m512i a = _mm512_loadu_si512(weights);
            const __m512i b = _mm512_loadu_si512(weights + second);
            s0 = tile_s8_product(s0, x0 + at, a, b);
            s1 = tile_s8_product(s1, x1 + at, a, b);
            s2 = tile_s8_product(s2, x2 + at, a, b);
            s3 = tile_s8_product(s3, x3 + at, a, b);
            s4 = tile_s8_product(s4, x4 + at, a, b);
            s5 = tile_s8_product(s5, x5 + at, a, b);
            s6 = tile_s8_product(s6, x6 + at, a, b);
            s7 = tile_s8_product(s7, x7 + at, a, b);
            weights += TILE_S8_STEP;
            at += TILE_S8_TAPS;
        }
    }
    tile_s8_finish(s0, sums[0]);
    tile_s8_finish(s1, sums[1]);
    tile_s8_finish(s2, sums[2]);
    tile_s8_finish(s3, sums[3]);
    tile_s8_finish(s4, sums[4]);
    tile_s8_finish(s5, sums[5]);
    tile_s8_finish(s6, sums[6]);
    tile_s8_finish(s7, sums[7]);
}

static inline void tile_s8_last_block(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS])
{
    const int8_t *const x0 = tile + starts[0];
    const int8_t *const x1 = tile + starts[1];
    const int8_t *const x2 = tile + starts[2];
    const int8_t *const x3 = tile + starts[3];
    const int8_t *const x4 = tile + starts[4];
    const int8_t *const x5 = tile + starts[5];
    const int8_t *const x6 = tile + starts[6];
    const int8_t *const x7 = tile + starts[7];
    const int8_t *weights = part->weights;
    const __m512i bias = _mm512_loadu_si512(part->bias_shifted);
    __m512i s0 = bias;
    __m512i s1 = bias;
    __m512i s2 = bias;
    __m512i s3 = bias;
    __m512i s4 = bias;
    __m512i s5 = bias;
    __m512i s6 = bias;
    __m512i s7 = bias;
    for (int32_t row = 0; row < part->window.rows; ++row) {
        ptrdiff_t at = (ptrdiff_t)row * part->window.pitch;
        for (int32_t quad = part->window.quads; quad > 0; --quad) {
            const __m512i a = _mm512_loadu_si512(weights);
            s0 = tile_s8_add(s0, tile_s8_quad(x0 + at), a);
            s1 = tile_s8_add(s1, tile_s8_quad(x1 + at), a);
            s2 = tile_s8_add(s2, tile_s8_quad(x2 + at), a);
            s3 = tile_s8_add(s3, tile_s8_quad(x3 + at), a);
            s4 = tile_s8_add(s4, tile_s8_quad(x4 + at), a);
            s5 = tile_s8_add(s5, tile_s8_quad(x5 + at), a);
            s6 = tile_s8_add(s6, tile_s8_quad(x6 + at), a);
            s7 = tile_s8_add(s7, tile_s8_quad(x7 + at), a);
            weights += TILE_S8_STEP;
            at += TILE_S8_TAPS;
        }
    }
    _mm512_storeu_si512(sums[0], s0);
    _mm512_storeu_si512(sums[1], s1);
    _mm512_storeu_si512(sums[2], s2);
    _mm512_storeu_si512(sums[3], s3);
    _mm512_storeu_si512(sums[4], s4);
    _mm512_storeu_si512(sums[5], s5);
    _mm512_storeu_si512(sums[6], s6);
    _mm512_storeu_si512(sums[7], s7);
}

/* Eight windows and two blocks of channels, or the last one. */
static inline void tile_s8_group(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS])
{
    if (part->channels > TILE_S8_BLOCK) {
        tile_s8_two_blocks(part, tile, starts, sums);
    } else {
        tile_s8_last_block(part, tile, starts, sums);
    }
}

/* One window: four chains of sums hide the latency of the instruction. */
static inline void tile_s8_one(const tile_s8_part *part, const int8_t *x, int32_t *sums)
{
    const int8_t *weights = part->weights;
    for (int32_t channel = 0; channel < part->channels; channel += TILE_S8_BLOCK) {
        __m512i s0 = _mm512_loadu_si512(part->bias_shifted + channel);
        __m512i s1 = _mm512_setzero_si512();
        __m512i s2 = s1;
        __m512i s3 = s1;
        for (int32_t row = 0; row < part->window.rows; ++row) {
            const int8_t *from = x + ((ptrdiff_t)row * part->window.pitch);
            int32_t quad = part->window.quads;
            for (; quad >= 4; quad -= 4) {
                s0 = tile_s8_add(s0, tile_s8_quad(from), _mm512_loadu_si512(weights));
                s1 = tile_s8_add(s1, tile_s8_quad(from + 4), _mm512_loadu_si512(weights + TILE_S8_STEP));
                s2 = tile_s8_add(s2, tile_s8_quad(from + 8), _mm512_loadu_si512(weights + (2 * TILE_S8_STEP)));
                s3 = tile_s8_add(s3, tile_s8_quad(from + 12), _mm512_loadu_si512(weights + (3 * TILE_S8_STEP)));
                weights += 4 * TILE_S8_STEP;
                from += 4 * TILE_S8_TAPS;
            }
            for (; quad > 0; --quad) {
                s0 = tile_s8_add(s0, tile_s8_quad(from), _mm512_loadu_si512(weights));
                weights += TILE_S8_STEP;
                from += TILE_S8_TAPS;
            }
        }
        const __m512i even = _mm512_add_epi32(s0, s2);
        _mm512_storeu_si512(sums + channel, _mm512_add_epi32(even, _mm512_add_epi32(s1, s3)));
    }
}

#endif
