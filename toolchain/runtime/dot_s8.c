/* One int8 vector against others: see dot_s8.h. */
#include "dot_s8.h"

#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
#include <arm_acle.h>
#include <string.h>

/* Cores with the DSP extension (Cortex-M4, M7, M33): two products of 16 bits an instruction. The four bytes of a word
 * are spread over two words, those of even and those of odd places. */
static inline uint32_t dot_s8_word(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static inline int16x2_t dot_s8_even(uint32_t word)
{
    return __sxtb16((int8x4_t)word);
}

static inline int16x2_t dot_s8_odd(uint32_t word)
{
    return __sxtb16((int8x4_t)((word >> 8) | (word << 24))); /* one instruction: the rotation is part of it */
}

static inline int32_t dot_s8_word_sum(uint32_t word, int16x2_t even, int16x2_t odd, int32_t sum)
{
    return __smlad(dot_s8_odd(word), odd, __smlad(dot_s8_even(word), even, sum));
}

#endif

void dot_s8_four(
    const dot_s8_shape *shape, const int8_t *shared, const int8_t *const x[4], const int32_t bias[4], int32_t sums[4])
{
    const int32_t run = shape->run;
    const int32_t shared_pitch = shape->shared_pitch;
    const int32_t pitch = shape->pitch;
    const int8_t *x0 = x[0];
    const int8_t *x1 = x[1];
    const int8_t *x2 = x[2];
    const int8_t *x3 = x[3];
    int32_t s0 = bias[0];
    int32_t s1 = bias[1];
    int32_t s2 = bias[2];
    int32_t s3 = bias[3];
    for (int32_t row = shape->rows; row > 0; --row) {
        int32_t i = 0;
#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
        for (; i + 4 <= run; i += 4) {
            const uint32_t word = dot_s8_word(shared + i);
            const int16x2_t even = dot_s8_even(word);
            const int16x2_t odd = dot_s8_odd(word);
            s0 = dot_s8_word_sum(dot_s8_word(x0 + i), even, odd, s0);
            s1 = dot_s8_word_sum(dot_s8_word(x1 + i), even, odd, s1);
            s2 = dot_s8_word_sum(dot_s8_word(x2 + i), even, odd, s2);
            s3 = dot_s8_word_sum(dot_s8_word(x3 + i), even, odd, s3);
        }
#endif
        for (; i < run; ++i) {
            const int32_t value = shared[i];
            s0 += value * x0[i];
            s1 += value * x1[i];
            s2 += value * x2[i];
            s3 += value * x3[i];
        }
        shared += shared_pitch;
        x0 += pitch;
        x1 += pitch;
        x2 += pitch;
        x3 += pitch;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

int32_t dot_s8_one(const dot_s8_shape *shape, const int8_t *shared, const int8_t *x, int32_t bias)
{
    int32_t sum = bias;
    for (int32_t row = 0; row < shape->rows; ++row) {
        for (int32_t i = 0; i < shape->run; ++i) {
            sum += (int32_t)shared[i] * x[i];
        }
        shared += shape->shared_pitch;
        x += shape->pitch;
    }
    return sum;
}
