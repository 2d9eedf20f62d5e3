/* The instructions of AVX-512 VNNI and AVX-VNNI that kernels use, in C by their definitions in Intel's Software
 * Developer's Manual, volume 2: for processors that have none. Include before the compiler's own headers. */
#ifndef EMULATED_IMMINTRIN_H
#define EMULATED_IMMINTRIN_H

/* What was asked for on the command line must not reach the compiler's header. */
#if defined(__AVX512F__)
#define EMULATED_AVX512F
#endif
#undef __AVX512F__
#undef __AVX512VNNI__
#undef __AVXVNNI__
#include_next <immintrin.h>
#if defined(EMULATED_AVX512F)
#define __AVX512F__ 1 /* headers of the kernels ask again */
#endif

#include <stdint.h>
#include <string.h>

typedef struct {
    int32_t lane[16];
} emulated_512;

/* VPDPBUSD: four products of an unsigned and a signed byte to the sum, which wraps around. */
static inline int32_t emulated_dpbusd(int32_t sum, int32_t a, int32_t b)
{
    uint32_t wrapped = (uint32_t)sum;
    for (int i = 0; i < 4; ++i) {
        const int32_t left = (int32_t)(uint8_t)((uint32_t)a >> (8 * i));
        const int32_t right = (int32_t)(int8_t)(uint8_t)((uint32_t)b >> (8 * i));
        wrapped += (uint32_t)(left * right);
    }
    return (int32_t)wrapped;
}

static inline emulated_512 emulated_set1(int32_t value)
{
    emulated_512 made;
    for (int i = 0; i < 16; ++i) {
        made.lane[i] = value;
    }
    return made;
}

static inline emulated_512 emulated_load(const void *from)
{
    emulated_512 made;
    memcpy(&made, from, sizeof made);
    return made;
}

static inline void emulated_store(void *to, emulated_512 value)
{
    memcpy(to, &value, sizeof value);
}

static inline emulated_512 emulated_add(emulated_512 a, emulated_512 b)
{
    for (int i = 0; i < 16; ++i) {
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i]);
    }
    return a;
}

static inline emulated_512 emulated_dot(emulated_512 sum, emulated_512 a, emulated_512 b)
{
    for (int i = 0; i < 16; ++i) {
        sum.lane[i] = emulated_dpbusd(sum.lane[i], a.lane[i], b.lane[i]);
    }
    return sum;
}

#define __m512i emulated_512
#define _mm512_set1_epi32 emulated_set1
#define _mm512_setzero_si512() emulated_set1(0)
#define _mm512_loadu_si512 emulated_load
#define _mm512_storeu_si512 emulated_store
#define _mm512_add_epi32 emulated_add
#define _mm512_dpbusd_epi32 emulated_dot

#include "avx512_f32.h"

#ifdef __AVX2__
static inline __m256i emulated_dot_256(__m256i sum, __m256i a, __m256i b)
{
    int32_t s[8];
    int32_t x[8];
    int32_t w[8];
    _mm256_storeu_si256((__m256i *)(void *)s, sum);
    _mm256_storeu_si256((__m256i *)(void *)x, a);
    _mm256_storeu_si256((__m256i *)(void *)w, b);
    for (int i = 0; i < 8; ++i) {
        s[i] = emulated_dpbusd(s[i], x[i], w[i]);
    }
    return _mm256_loadu_si256((const __m256i *)(const void *)s);
}
#define _mm256_dpbusd_avx_epi32 emulated_dot_256
#endif

#endif
