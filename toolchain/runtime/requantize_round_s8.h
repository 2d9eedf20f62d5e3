/* requantize_s8 with one more form: the upper word of a 64-bit product, rounded, which is one instruction (SMMULR) of
 * cores with the DSP extension. The generator takes it where it has proved it for every accumulator. */
#ifndef REQUANTIZE_ROUND_S8_H
#define REQUANTIZE_ROUND_S8_H

#include "requantize_s8.h"

/* floor(accumulator * multiplier / 2^32 + 1/2) */
static inline int32_t requantize_s8_rounded(int32_t accumulator, int32_t multiplier)
{
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(accumulator), "r"(multiplier));
    return high;
#else
    return (int32_t)((((int64_t)accumulator * multiplier) + ((int64_t)1 << 31)) >> 32);
#endif
}

/* To the range of int8: one instruction (SSAT) of Cortex-M3 and above. */
static inline int8_t requantize_s8_saturated(int32_t value)
{
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
    int32_t saturated;
    __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(value));
    return (int8_t)saturated;
#else
    const int32_t floored = (value < INT8_MIN) ? INT8_MIN : value;
    return (int8_t)((floored > INT8_MAX) ? INT8_MAX : floored);
#endif
}

/* Whether a value is saturated(rounded(accumulator, multiplier) + zero). */
static inline int requantize_s8_plain(const requantize_s8 *q)
{
    return q->kind == REQUANTIZE_ROUND && q->table == NULL && q->low == INT8_MIN && q->high == INT8_MAX;
}

/* The same of the form REQUANTIZE_HIGH. */
static inline int requantize_s8_plain_high(const requantize_s8 *q)
{
    return q->kind == REQUANTIZE_HIGH && q->table == NULL && q->low == INT8_MIN && q->high == INT8_MAX;
}

static inline int32_t requantize_s8_high(int32_t accumulator, int32_t multiplier, int32_t shift)
{
    return (((int32_t)(((int64_t)accumulator * multiplier) >> 32) >> shift) + 1) >> 1;
}

/* One value, of any form. */
int8_t requantize_s8_any(const requantize_s8 *q, int32_t accumulator, int32_t channel);

#endif
