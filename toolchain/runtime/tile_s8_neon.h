/* Tiles for Arm with NEON: the dot product of four taps in one instruction (SDOT) where there is one, else products of
 * 16 bits, added in pairs to 32 (SMULL, SADALP). */
#ifndef TILE_S8_NEON_H
#define TILE_S8_NEON_H

#include <arm_neon.h>
#include <string.h>

#include "tile_s8.h"

enum {
    TILE_S8_VALUE = 1, /* bytes */
#if defined(__ARM_FEATURE_DOTPROD)
    TILE_S8_LANES = 4 /* channels of a vector */
#else
    TILE_S8_LANES = 2 /* channels of a vector, two sums each */
#endif
};
#define TILE_S8_BIAS bias

typedef int32x4_t tile_s8_vector;

static inline void tile_s8_store(int8_t *tile, const int8_t *values, int32_t count)
{
    memcpy(tile, values, (size_t)count);
}

static inline tile_s8_vector tile_s8_zero(void)
{
    return vdupq_n_s32(0);
}

static inline int32_t tile_s8_word(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return word;
}

#if defined(__ARM_FEATURE_DOTPROD)
typedef int8x16_t tile_s8_taps;

static inline tile_s8_taps tile_s8_taps_at(const int8_t *weights)
{
    return vld1q_s8(weights);
}

static inline tile_s8_taps tile_s8_quad(const int8_t *x)
{
    return vreinterpretq_s8_s32(vdupq_n_s32(tile_s8_word(x)));
}

static inline tile_s8_vector tile_s8_add(tile_s8_vector sum, tile_s8_taps x, tile_s8_taps w)
{
    return vdotq_s32(sum, x, w);
}

static inline void tile_s8_finish(tile_s8_vector a, tile_s8_vector b, const int32_t *bias, int32_t *sums)
{
    vst1q_s32(sums, vaddq_s32(a, vld1q_s32(bias)));
    vst1q_s32(sums + 4, vaddq_s32(b, vld1q_s32(bias + 4)));
}
#else
typedef int8x8_t tile_s8_taps;

static inline tile_s8_taps tile_s8_taps_at(const int8_t *weights)
{
    return vld1_s8(weights);
}

static inline tile_s8_taps tile_s8_quad(const int8_t *x)
{
    return vreinterpret_s8_s32(vdup_n_s32(tile_s8_word(x)));
}

static inline tile_s8_vector tile_s8_add(tile_s8_vector sum, tile_s8_taps x, tile_s8_taps w)
{
    return vpadalq_s16(sum, vmull_s8(x, w));
}

static inline void tile_s8_finish(tile_s8_vector a, tile_s8_vector b, const int32_t *bias, int32_t *sums)
{
    const int32x2_t low = vpadd_s32(vget_low_s32(a), vget_high_s32(a));
    const int32x2_t high = vpadd_s32(vget_low_s32(b), vget_high_s32(b));
    vst1q_s32(sums, vaddq_s32(vcombine_s32(low, high), vld1q_s32(bias)));
}
#endif

#endif
