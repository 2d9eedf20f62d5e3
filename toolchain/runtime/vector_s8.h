/* What convvector_s8 and gemmvector_s8 do with vectors of 16 bytes: by the M-profile vector extension, or in C. Rows
 * that are no whole number of vectors are predicated: nothing is read or written beyond them. */
#ifndef VECTOR_S8_H
#define VECTOR_S8_H

#include "requantize_round_s8.h"

enum { VECTOR_S8_LANES = 16, VECTOR_S8_ROWS = 4 };

/* vector_s8_four(shared, x, vectors, sums, pitch): sums[i * pitch] = shared . x[.][i], for x [vectors][4][16].
 * vector_s8_gather_four(from, far, offsets, count, to): to[i][k] = from[far[i] + offsets[k]] for k < count, zero up to
 *     16, for i < 4.
 * vector_s8_short(shared, x, count, sums, pitch): sums[i * pitch + c] = shared + 32 c . x[.][i], for two of four rows.
 * vector_s8_round(sums, pitch, bias, q, first, count, out): out[first + c] from sums[c] + bias[first + c], or, where
 *     pitch > 0, from the largest of sums[c + i * pitch], i < 4; for a requantize_s8 of the form ROUND or HIGH over all
 *     8 bits. Reads three values beyond sums, bias and multipliers. */

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>

static inline void vector_s8_four(const int8_t *shared, const int8_t *x, int32_t vectors, int32_t *sums, int32_t pitch)
{
    int8x16_t one = vldrbq_s8(shared);
    int32_t s0 = vmladavq_s8(one, vldrbq_s8(x));
    int32_t s1 = vmladavq_s8(one, vldrbq_s8(x + 16));
    int32_t s2 = vmladavq_s8(one, vldrbq_s8(x + 32));
    int32_t s3 = vmladavq_s8(one, vldrbq_s8(x + 48));
    for (int32_t i = vectors - 1; i > 0; --i) {
        shared += VECTOR_S8_LANES;
        x += VECTOR_S8_ROWS * VECTOR_S8_LANES;
        one = vldrbq_s8(shared);
        s0 = vmladavaq_s8(s0, one, vldrbq_s8(x));
        s1 = vmladavaq_s8(s1, one, vldrbq_s8(x + 16));
        s2 = vmladavaq_s8(s2, one, vldrbq_s8(x + 32));
        s3 = vmladavaq_s8(s3, one, vldrbq_s8(x + 48));
    }
    sums[0] = s0;
    sums[pitch] = s1;
    sums[2 * pitch] = s2;
    sums[3 * pitch] = s3;
}

static inline void vector_s8_gather_four(
    const int8_t *from, const int32_t *far, const uint8_t *offsets, int32_t count, int8_t *to)
{
    const uint8x16_t places = vldrbq_u8(offsets);
    const int8_t *const from1 = from + far[1];
    const int8_t *const from2 = from + far[2];
    const int8_t *const from3 = from + far[3];
    if (count >= VECTOR_S8_LANES) {
        vstrbq_s8(to, vldrbq_gather_offset_s8(from, places));
        vstrbq_s8(to + 16, vldrbq_gather_offset_s8(from1, places));
        vstrbq_s8(to + 32, vldrbq_gather_offset_s8(from2, places));
        vstrbq_s8(to + 48, vldrbq_gather_offset_s8(from3, places));
        return;
    }
    const mve_pred16_t lanes = vctp8q((uint32_t)count);
    vstrbq_s8(to, vldrbq_gather_offset_z_s8(from, places, lanes));
    vstrbq_s8(to + 16, vldrbq_gather_offset_z_s8(from1, places, lanes));
    vstrbq_s8(to + 32, vldrbq_gather_offset_z_s8(from2, places, lanes));
    vstrbq_s8(to + 48, vldrbq_gather_offset_z_s8(from3, places, lanes));
}

static inline void vector_s8_short(const int8_t *shared, const int8_t *x, int32_t count, int32_t *sums, int32_t pitch)
{
    const int8x16_t a0 = vldrbq_s8(x);
    const int8x16_t b0 = vldrbq_s8(x + 16);
    const int8x16_t a1 = vldrbq_s8(x + 64);
    const int8x16_t b1 = vldrbq_s8(x + 80);
    for (int32_t c = count; c > 0; --c) {
        const int8x16_t first = vldrbq_s8(shared);
        const int8x16_t second = vldrbq_s8(shared + 16);
        sums[0] = vmladavaq_s8(vmladavq_s8(first, a0), second, a1);
        sums[pitch] = vmladavaq_s8(vmladavq_s8(first, b0), second, b1);
        shared += 2 * VECTOR_S8_LANES;
        ++sums;
    }
}

static inline void vector_s8_round(const int32_t *sums, int32_t pitch, const int32_t *bias, const requantize_s8 *q,
                                   int32_t first, int32_t count, int8_t *out)
{
    const int32_t *multipliers = q->multipliers + first;
    const int32_t shift = (q->kind == REQUANTIZE_HIGH) ? -1 - q->shift : 0;
    const int32_t zero = q->zero;
    const int32x4_t least = vdupq_n_s32(INT8_MIN);
    const int32x4_t most = vdupq_n_s32(INT8_MAX);
    bias += first;
    out += first;
    for (; count > 0; count -= 4) {
        int32x4_t sum = vldrwq_s32(sums);
        if (pitch > 0) {
            const int32x4_t right = vmaxq_s32(vldrwq_s32(sums + (2 * pitch)), vldrwq_s32(sums + (3 * pitch)));
            sum = vmaxq_s32(vmaxq_s32(sum, vldrwq_s32(sums + pitch)), right);
        }
        sum = vaddq_s32(sum, vldrwq_s32(bias));
        const int32x4_t by = vldrwq_s32(multipliers);
        const int32x4_t high = (shift == 0) ? vrmulhq_s32(sum, by) : vrshlq_n_s32(vmulhq_s32(sum, by), shift);
        const int32x4_t y = vminq_s32(vmaxq_s32(vaddq_n_s32(high, zero), least), most);
        if (count >= 4) {
            vstrbq_s32(out, y);
        } else {
            vstrbq_p_s32(out, y, vctp32q((uint32_t)count));
        }
        sums += 4;
        bias += 4;
        multipliers += 4;
        out += 4;
    }
}

#else

static inline void vector_s8_gather(const int8_t *from, const uint8_t *offsets, int32_t count, int8_t *to)
{
    for (int32_t i = 0; i < VECTOR_S8_LANES; ++i) {
        to[i] = (i < count) ? from[offsets[i]] : 0;
    }
}

static inline void vector_s8_four(const int8_t *shared, const int8_t *x, int32_t vectors, int32_t *sums, int32_t pitch)
{
    for (int32_t row = 0; row < VECTOR_S8_ROWS; ++row) {
        int32_t sum = 0;
        for (int32_t i = 0; i < vectors * VECTOR_S8_LANES; ++i) {
            const int32_t vector = i / VECTOR_S8_LANES;
            sum += shared[i] * x[(((vector * VECTOR_S8_ROWS) + row) * VECTOR_S8_LANES) + (i % VECTOR_S8_LANES)];
        }
        sums[row * pitch] = sum;
    }
}

static inline void vector_s8_gather_four(
    const int8_t *from, const int32_t *far, const uint8_t *offsets, int32_t count, int8_t *to)
{
    for (int32_t i = 0; i < VECTOR_S8_ROWS; ++i) {
        vector_s8_gather(from + far[i], offsets, count, to + (VECTOR_S8_LANES * i));
    }
}

static inline void vector_s8_short(const int8_t *shared, const int8_t *x, int32_t count, int32_t *sums, int32_t pitch)
{
    for (int32_t c = 0; c < count; ++c) {
        for (int32_t row = 0; row < 2; ++row) {
            int32_t sum = 0;
            for (int32_t i = 0; i < 2 * VECTOR_S8_LANES; ++i) {
                const int32_t vector = i / VECTOR_S8_LANES;
                sum += shared[i] * x[(((vector * VECTOR_S8_ROWS) + row) * VECTOR_S8_LANES) + (i % VECTOR_S8_LANES)];
            }
            sums[c + (row * pitch)] = sum;
        }
        shared += 2 * VECTOR_S8_LANES;
    }
}

static inline void vector_s8_round(const int32_t *sums, int32_t pitch, const int32_t *bias, const requantize_s8 *q,
                                   int32_t first, int32_t count, int8_t *out)
{
    for (int32_t c = first; c < first + count; ++c) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the products of `count` channels stand there */
        int32_t sum = sums[0];
        for (int32_t row = 1; pitch > 0 && row < VECTOR_S8_ROWS; ++row) {
            sum = (sums[row * pitch] > sum) ? sums[row * pitch] : sum;
        }
        ++sums;
        sum += bias[c];
        const int32_t y = (q->kind == REQUANTIZE_HIGH) ? requantize_s8_high(sum, q->multipliers[c], q->shift)
                                                       : requantize_s8_rounded(sum, q->multipliers[c]);
        out[c] = requantize_s8_saturated(y + q->zero);
    }
}

#endif

#endif
