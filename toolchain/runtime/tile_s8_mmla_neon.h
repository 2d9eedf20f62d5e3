/* Six windows at a time on Arm with the int8 matrix product (SMMLA): one instruction multiplies eight taps of two
 * windows with those of two channels, twice what SDOT does. */
#ifndef TILE_S8_MMLA_NEON_H
#define TILE_S8_MMLA_NEON_H

#include <arm_neon.h>

#include "tile_s8_vectors.h"

#define TILE_S8_MMLA

/* Two windows and four channels: rows are windows, columns channels. */
typedef struct {
    int32x4_t left, right;
} tile_s8_mmla_sum;

/* Eight taps of four channels. */
typedef struct {
    int8x16_t left, right;
} tile_s8_mmla_taps;

static inline tile_s8_mmla_taps tile_s8_mmla_zipped(int8x16_t first, int8x16_t second)
{
    const int32x4x2_t made = vzipq_s32(vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second));
    const tile_s8_mmla_taps taps = {vreinterpretq_s8_s32(made.val[0]), vreinterpretq_s8_s32(made.val[1])};
    return taps;
}

static inline tile_s8_mmla_sum tile_s8_mmla_add(tile_s8_mmla_sum sum, int8x16_t windows, tile_s8_mmla_taps taps)
{
    const tile_s8_mmla_sum made = {
        vmmlaq_s32(sum.left, windows, taps.left), vmmlaq_s32(sum.right, windows, taps.right)};
    return made;
}

/* The sums of the two windows, in the order of channels. */
static inline void tile_s8_mmla_finish(tile_s8_mmla_sum sum, const int32_t *bias, int32_t *upper, int32_t *lower)
{
    const int32x4_t start = vld1q_s32(bias);
    vst1q_s32(upper, vaddq_s32(vcombine_s32(vget_low_s32(sum.left), vget_low_s32(sum.right)), start));
    vst1q_s32(lower, vaddq_s32(vcombine_s32(vget_high_s32(sum.left), vget_high_s32(sum.right)), start));
}

#define MMLA_EACH(DO) DO(0, 0, 1) DO(1, 2, 3) DO(2, 4, 5)
#define MMLA_BEGIN(k, i, j) tile_s8_mmla_sum a##k = zero, b##k = zero;
#define MMLA_PAIR(k, i, j) \
    { \
        const int8x16_t windows = vcombine_s8(vld1_s8(x##i + at), vld1_s8(x##j + at)); \
        a##k = tile_s8_mmla_add(a##k, windows, a); \
        b##k = tile_s8_mmla_add(b##k, windows, b); \
    }
#define MMLA_SINGLE(k, i, j) \
    { \
        const int32x2_t upper = vdup_n_s32(tile_s8_word(x##i + at)); \
        const int32x2_t lower = vdup_n_s32(tile_s8_word(x##j + at)); \
        const int8x16_t windows = vreinterpretq_s8_s32(vcombine_s32(upper, lower)); \
        a##k = tile_s8_mmla_add(a##k, windows, a); \
        b##k = tile_s8_mmla_add(b##k, windows, b); \
    }
#define MMLA_END(k, i, j) \
    tile_s8_mmla_finish(a##k, bias, sums[i] + channel, sums[j] + channel); \
    tile_s8_mmla_finish(b##k, bias + TILE_S8_LANES, sums[i] + next, sums[j] + next);

static inline void tile_s8_mmla_group(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t (*sums)[TILE_S8_CHANNELS])
{
    const int8_t *const x0 = tile + starts[0];
    const int8_t *const x1 = tile + starts[1];
    const int8_t *const x2 = tile + starts[2];
    const int8_t *const x3 = tile + starts[3];
    const int8_t *const x4 = tile + starts[4];
    const int8_t *const x5 = tile + starts[5];
    const tile_s8_mmla_sum zero = {vdupq_n_s32(0), vdupq_n_s32(0)};
    for (int32_t channel = 0; channel < part->channels; channel += 2 * TILE_S8_LANES) {
        const int8_t *weights = tile_s8_channel(part, channel);
        const int32_t *const bias = part->bias + channel;
        const int32_t next = channel + TILE_S8_LANES;
        MMLA_EACH(MMLA_BEGIN)
        for (int32_t row = 0; row < part->window.rows; ++row) {
            ptrdiff_t at = (ptrdiff_t)row * part->window.pitch;
            int32_t quad = part->window.quads;
            for (; quad >= 2; quad -= 2) {
                const int8_t *const after = weights + TILE_S8_STEP;
                const tile_s8_mmla_taps a = tile_s8_mmla_zipped(vld1q_s8(weights), vld1q_s8(after));
                const tile_s8_mmla_taps b =
                    tile_s8_mmla_zipped(vld1q_s8(weights + TILE_S8_VECTOR), vld1q_s8(after + TILE_S8_VECTOR));
                MMLA_EACH(MMLA_PAIR)
                weights += 2 * TILE_S8_STEP;
                at += (ptrdiff_t)2 * TILE_S8_QUAD;
            }
            if (quad != 0) { /* the values come twice, and meet zeros the second time */
                const tile_s8_mmla_taps a = tile_s8_mmla_zipped(vld1q_s8(weights), vdupq_n_s8(0));
                const tile_s8_mmla_taps b = tile_s8_mmla_zipped(vld1q_s8(weights + TILE_S8_VECTOR), vdupq_n_s8(0));
                MMLA_EACH(MMLA_SINGLE)
                weights += TILE_S8_STEP;
            }
        }
        MMLA_EACH(MMLA_END)
    }
    for (int32_t i = 0; i < TILE_S8_GROUP; ++i) {
        tile_s8_fill_up(part, sums[i]);
    }
}

#endif
