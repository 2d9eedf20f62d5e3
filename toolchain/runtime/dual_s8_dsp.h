/* What dual_s8.h says, for cores with the DSP extension (Cortex-M4, M7, M33): included from there.
 *
 * SMLAD adds two products of 16 bits to a sum, SXTB16 takes the low bytes of two weights. The loops want all fourteen
 * registers of the core, and compilers spill some of the eight sums: so they are written out for gcc, in
 * dual_s8_assembly.h. Other compilers, and builds without optimisation, which keep a register for the frame, take the
 * same from intrinsics. */
#ifndef DUAL_S8_DSP_H
#define DUAL_S8_DSP_H

#include <arm_acle.h>
#include <string.h>

static inline int32_t dual_s8_word(const int16_t *values)
{
    int32_t word;
    memcpy(&word, values, sizeof word);
    return word;
}

static inline void dual_s8_widen(const int8_t *bytes, int16_t *values)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    const uint32_t even = (uint32_t)__sxtb16((int8x4_t)word);
    const uint32_t odd = (uint32_t)__sxtb16((int8x4_t)((word >> 8) | (word << 24))); /* the rotation is part of it */
#if defined(__GNUC__)
    uint32_t first, second;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(first) : "r"(even), "r"(odd));
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(second) : "r"(odd), "r"(even));
#else
    const uint32_t first = (even & 0xFFFFu) | (odd << 16);
    const uint32_t second = (odd & 0xFFFF0000u) | (even >> 16);
#endif
    memcpy(values, &first, sizeof first);
    memcpy(values + 2, &second, sizeof second);
}

static inline int32_t dual_s8_mac(int32_t x, int32_t weights, int32_t sum)
{
    return __smlad((int16x2_t)x, (int16x2_t)weights, sum);
}

static inline int32_t dual_s8_low_bytes(int32_t weights)
{
    return (int32_t)__sxtb16((int8x4_t)weights);
}

#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#include "dual_s8_assembly.h"
#else

static inline const int32_t *dual_s8_four(
    const int32_t *patch, const int32_t *weights, int32_t words, int32_t pairs, dual_s8_sums *sums)
{
    for (; pairs > 0; --pairs) {
        const int32_t *x = patch;
        int32_t s0 = weights[0], s1 = s0, s2 = s0, s3 = s0;
        int32_t t0 = weights[1], t1 = t0, t2 = t0, t3 = t0;
        weights += 2;
        for (const int32_t *const end = weights + words; weights != end; ++weights) {
            const int32_t low = dual_s8_low_bytes(*weights);
            t0 = dual_s8_mac(x[0], *weights, t0);
            s0 = dual_s8_mac(x[0], low, s0);
            t1 = dual_s8_mac(x[1], *weights, t1);
            s1 = dual_s8_mac(x[1], low, s1);
            t2 = dual_s8_mac(x[2], *weights, t2);
            s2 = dual_s8_mac(x[2], low, s2);
            t3 = dual_s8_mac(x[3], *weights, t3);
            s3 = dual_s8_mac(x[3], low, s3);
            x += 4;
        }
        *sums++ = (dual_s8_sums){{s0, s1, s2, s3}, {t0, t1, t2, t3}};
    }
    return weights;
}

static inline const int32_t *dual_s8_square(
    const int32_t *patch, const int32_t *weights, int32_t words, int32_t pairs, dual_s8_sums *sums)
{
    for (; pairs > 0; --pairs) {
        const int32_t *x = patch;
        int32_t a0 = weights[0], a1 = a0, a2 = a0, a3 = a0;
        int32_t b0 = weights[1], b1 = b0, b2 = b0, b3 = b0;
        weights += 2;
        for (const int32_t *const end = weights + (4 * words); weights != end; weights += 4) {
            a0 = dual_s8_mac(x[0], weights[0], a0);
            b0 = dual_s8_mac(x[0], weights[1], b0);
            a2 = dual_s8_mac(x[1], weights[0], a2);
            b2 = dual_s8_mac(x[1], weights[1], b2);
            a1 = dual_s8_mac(x[0], weights[2], a1);
            b1 = dual_s8_mac(x[0], weights[3], b1);
            a3 = dual_s8_mac(x[1], weights[2], a3);
            b3 = dual_s8_mac(x[1], weights[3], b3);
            x += 2;
        }
        *sums++ = (dual_s8_sums){{a0, a1, a2, a3}, {b0, b1, b2, b3}};
    }
    return weights;
}

static inline const int32_t *dual_s8_rows(
    const int16_t *x, const int32_t *weights, int32_t words, const int32_t *bias, int32_t *sums)
{
    int32_t s0 = bias[0];
    int32_t s1 = bias[2];
    int32_t t0 = (int32_t)((uint32_t)s0 + ((uint32_t)bias[1] << 8));
    int32_t t1 = (int32_t)((uint32_t)s1 + ((uint32_t)bias[3] << 8));
    for (const int32_t *const end = weights + (2 * words); weights != end; weights += 2) {
        const int32_t word = dual_s8_word(x);
        t0 = dual_s8_mac(word, weights[0], t0);
        s0 = dual_s8_mac(word, dual_s8_low_bytes(weights[0]), s0);
        t1 = dual_s8_mac(word, weights[1], t1);
        s1 = dual_s8_mac(word, dual_s8_low_bytes(weights[1]), s1);
        x += 2;
    }
    sums[0] = s0;
    sums[1] = (int32_t)((uint32_t)t0 - (uint32_t)s0) >> 8;
    sums[2] = s1;
    sums[3] = (int32_t)((uint32_t)t1 - (uint32_t)s1) >> 8;
    return weights;
}

#endif

#endif
