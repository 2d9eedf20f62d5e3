/* Sixteen accumulators to 8 bits with NEON. */
#ifndef REQUANTIZE_BLOCK_S8_NEON_H
#define REQUANTIZE_BLOCK_S8_NEON_H

#include <arm_neon.h>

#include "requantize_s8.h"

#define REQUANTIZE_S8_VECTORS

static inline int16x4_t requantize_s8_four(const requantize_s8 *q, const int32_t *sums, int32_t channel)
{
    const int32x4_t x = vld1q_s32(sums);
    const int32x4_t m = vld1q_s32(q->multipliers + channel);
    const int32x2_t low = vshrn_n_s64(vmull_s32(vget_low_s32(x), vget_low_s32(m)), 32);
    const int32x2_t high = vshrn_n_s64(vmull_s32(vget_high_s32(x), vget_high_s32(m)), 32);
    int32x4_t shift = vdupq_n_s32(q->shift);
    if (q->kind == REQUANTIZE_CHANNELS) {
        const uint8_t *const s = q->shifts + channel;
        const int32_t shifts[4] = {s[0], s[1], s[2], s[3]};
        shift = vld1q_s32(shifts);
    }
    const int32x4_t twice = vshlq_s32(vcombine_s32(low, high), vnegq_s32(shift)); /* rounds down to the right */
    const int32x4_t rounded = vshrq_n_s32(vaddq_s32(twice, vdupq_n_s32(1)), 1);
    const int32x4_t y = vaddq_s32(rounded, vdupq_n_s32(q->zero));
    return vmovn_s32(vminq_s32(vmaxq_s32(y, vdupq_n_s32(q->low)), vdupq_n_s32(q->high)));
}

static inline void requantize_s8_vectors(const requantize_s8 *q, const int32_t *sums, int32_t channel, int8_t *out)
{
    for (int32_t i = 0; i < 16; i += 8) {
        const int16x4_t low = requantize_s8_four(q, sums + i, channel + i);
        const int16x4_t high = requantize_s8_four(q, sums + i + 4, channel + i + 4);
        vst1_s8(out + i, vmovn_s16(vcombine_s16(low, high)));
    }
}

#endif
