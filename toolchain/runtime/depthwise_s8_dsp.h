/* Two taps of four channels for cores with the DSP extension (Cortex-M4, M7, M33): SMLAD adds the products of both to a
 * channel's sum. Included by depthwise_s8.c. */
#ifndef DEPTHWISE_S8_DSP_H
#define DEPTHWISE_S8_DSP_H

#include <arm_acle.h>
#include <string.h>

/* The first and third byte of a word, or the second and fourth, as 16 bits each. */
static inline uint32_t depthwise_s8_even(uint32_t word)
{
    return (uint32_t)__sxtb16((int8x4_t)word);
}

static inline uint32_t depthwise_s8_odd(uint32_t word)
{
    return (uint32_t)__sxtb16((int8x4_t)((word >> 8) | (word << 24))); /* the rotation is part of it */
}

/* The lower halves of two words side by side, or the upper ones. */
static inline uint32_t depthwise_s8_lower(uint32_t a, uint32_t b)
{
#if defined(__GNUC__)
    uint32_t both;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(both) : "r"(a), "r"(b));
    return both;
#else
    return (a & 0xFFFFu) | (b << 16);
#endif
}

static inline uint32_t depthwise_s8_upper(uint32_t a, uint32_t b)
{
#if defined(__GNUC__)
    uint32_t both;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(both) : "r"(b), "r"(a));
    return both;
#else
    return (a >> 16) | (b & 0xFFFF0000u);
#endif
}

static inline int32_t depthwise_s8_mac(uint32_t x, const int16_t *weights, int32_t sum)
{
    int32_t word;
    memcpy(&word, weights, sizeof word);
    return __smlad((int16x2_t)x, (int16x2_t)word, sum);
}

static inline void depthwise_s8_two_taps(const int8_t *a, const int8_t *b, const int16_t *weights, int32_t *sums)
{
    uint32_t first;
    uint32_t second;
    memcpy(&first, a, sizeof first);
    memcpy(&second, b, sizeof second);
    const uint32_t a02 = depthwise_s8_even(first);
    const uint32_t a13 = depthwise_s8_odd(first);
    const uint32_t b02 = depthwise_s8_even(second);
    const uint32_t b13 = depthwise_s8_odd(second);
    sums[0] = depthwise_s8_mac(depthwise_s8_lower(a02, b02), weights, sums[0]);
    sums[1] = depthwise_s8_mac(depthwise_s8_lower(a13, b13), weights + 2, sums[1]);
    sums[2] = depthwise_s8_mac(depthwise_s8_upper(a02, b02), weights + 4, sums[2]);
    sums[3] = depthwise_s8_mac(depthwise_s8_upper(a13, b13), weights + 6, sums[3]);
}

#endif
