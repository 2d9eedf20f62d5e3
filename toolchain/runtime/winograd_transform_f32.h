/* The transforms of Winograd's algorithm for three taps and outputs of two (F2) or four (F4), along one axis.
 *
 * Points 0, 1, -1 and infinity; F4 also 2 and -2. Matrices as in Lavin and Gray, 2016, section 4. */
#ifndef WINOGRAD_TRANSFORM_F32_H
#define WINOGRAD_TRANSFORM_F32_H

#include "vector_f32.h"

enum { WINOGRAD_F32_LARGEST = 6 }; /* values along an axis of a tile's input */

/* y = B^T x for four inputs, `step` vectors apart in both. */
static inline void winograd_f32_input2(const vf32 *x, vf32 *y, int32_t step)
{
    y[0] = vf32_sub(x[0], x[2 * step]);
    y[step] = vf32_add(x[step], x[2 * step]);
    y[2 * step] = vf32_sub(x[2 * step], x[step]);
    y[3 * step] = vf32_sub(x[step], x[3 * step]);
}

/* The same for six. */
static inline void winograd_f32_input4(const vf32 *x, vf32 *y, int32_t step)
{
    const vf32 two = vf32_splat(2.0f);
    const vf32 four = vf32_splat(-4.0f);
    const vf32 five = vf32_splat(-5.0f);
    const vf32 even = vf32_fma(four, x[2 * step], x[4 * step]);
    const vf32 odd = vf32_fma(four, x[step], x[3 * step]);
    const vf32 far = vf32_sub(x[4 * step], x[2 * step]);
    const vf32 twice = vf32_mul(two, vf32_sub(x[3 * step], x[step]));
    y[0] = vf32_fma(five, x[2 * step], vf32_sub(x[4 * step], vf32_mul(four, x[0])));
    y[step] = vf32_add(even, odd);
    y[2 * step] = vf32_sub(even, odd);
    y[3 * step] = vf32_add(far, twice);
    y[4 * step] = vf32_sub(far, twice);
    y[5 * step] = vf32_fma(five, x[3 * step], vf32_sub(x[5 * step], vf32_mul(four, x[step])));
}

/* y = A^T x: two outputs of four. */
static inline void winograd_f32_output2(const vf32 *x, vf32 *y, int32_t step)
{
    const vf32 sum = vf32_add(x[step], x[2 * step]);
    const vf32 difference = vf32_sub(x[step], x[2 * step]);
    y[0] = vf32_add(x[0], sum);
    y[step] = vf32_sub(difference, x[3 * step]);
}

/* Four outputs of six. */
static inline void winograd_f32_output4(const vf32 *x, vf32 *y, int32_t step)
{
    const vf32 sum = vf32_add(x[step], x[2 * step]);
    const vf32 difference = vf32_sub(x[step], x[2 * step]);
    const vf32 far_sum = vf32_add(x[3 * step], x[4 * step]);
    const vf32 far_difference = vf32_sub(x[3 * step], x[4 * step]);
    y[0] = vf32_add(x[0], vf32_add(sum, far_sum));
    y[step] = vf32_fma(vf32_splat(2.0f), far_difference, difference);
    y[2 * step] = vf32_fma(vf32_splat(4.0f), far_sum, sum);
    y[3 * step] = vf32_add(vf32_fma(vf32_splat(8.0f), far_difference, difference), x[5 * step]);
}

/* Rows, then columns, of a tile of (outputs + 2) squared, in place. */
static inline void winograd_f32_input(int32_t outputs, vf32 *tile)
{
    const int32_t size = outputs + 2;
    vf32 rows[WINOGRAD_F32_LARGEST * WINOGRAD_F32_LARGEST];
    for (int32_t i = 0; i < size; ++i) {
        if (outputs == 2) {
            winograd_f32_input2(tile + (i * size), rows + (i * size), 1);
        } else {
            winograd_f32_input4(tile + (i * size), rows + (i * size), 1);
        }
    }
    for (int32_t i = 0; i < size; ++i) {
        if (outputs == 2) {
            winograd_f32_input2(rows + i, tile + i, size);
        } else {
            winograd_f32_input4(rows + i, tile + i, size);
        }
    }
}

/* Likewise back: the outputs stand in the first places of the first rows, (outputs + 2) apart. */
static inline void winograd_f32_output(int32_t outputs, vf32 *tile)
{
    const int32_t size = outputs + 2;
    vf32 rows[WINOGRAD_F32_LARGEST * WINOGRAD_F32_LARGEST];
    for (int32_t i = 0; i < size; ++i) {
        if (outputs == 2) {
            winograd_f32_output2(tile + (i * size), rows + (i * size), 1);
        } else {
            winograd_f32_output4(tile + (i * size), rows + (i * size), 1);
        }
    }
    for (int32_t i = 0; i < outputs; ++i) {
        if (outputs == 2) {
            winograd_f32_output2(rows + i, tile + i, size);
        } else {
            winograd_f32_output4(rows + i, tile + i, size);
        }
    }
}

#endif
