/* Sums of products of floats, one at a time, for cores whose FPU has 32 registers: the inner loops of convscalar_f32 and
 * gemmscalar_f32. scalar_f32_portable.h is what they mean, in C; scalar_f32_fpu.h is the same for Cortex-M.
 *
 * Up to 24 sums stay in registers, so that a value that is loaded takes part in four or six products. */
#ifndef SCALAR_F32_H
#define SCALAR_F32_H

#include <stdint.h>

#include "activation_f32.h"

enum {
    SCALAR_F32_WINDOWS = 4, /* of a map, computed together */
    SCALAR_F32_SIX = 6,     /* output channels */
    SCALAR_F32_FOUR = 4,
    SCALAR_F32_DOZEN = 12 /* outputs of a dense layer */
};

/* Four windows, whose taps lie in runs of values side by side. */
typedef struct {
    const float *start[SCALAR_F32_WINDOWS];
    int32_t runs;
    int32_t run;          /* values of one */
    const int32_t *jumps; /* [runs], from behind a run to the next one; behind the last: 0 */
} scalar_f32_windows;

#if defined(__GNUC__) && defined(__OPTIMIZE__) && defined(__ARM_FEATURE_FMA) && __ARM_ARCH_PROFILE == 'M'
#include "scalar_f32_fpu.h"
#else
#include "scalar_f32_portable.h"
#endif

/* Five functions; each returns the place behind the weights that it has read:
 *
 * scalar_f32_six, scalar_f32_four, scalar_f32_one(windows, weights, sums): four windows against so many channels.
 *   weights: where the sum of each channel begins, then for each tap a weight of each
 *   sums:    [channels][4]
 *
 * scalar_f32_dozen, scalar_f32_quartet(x, taps, weights, sums): one vector against 12 or 4 outputs.
 *   x:       [taps]
 *   weights: where the sum of each output begins, then for each tap a weight of each
 *   sums:    [12] or [4] */

/* An activation of values, in place. */
void scalar_f32_activate(const activation_f32 *a, float *values, int32_t count);

#endif
