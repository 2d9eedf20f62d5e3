/* A vector of floats: as wide as the instruction set that the compiler was told of.
 *
 * Kernels for machines with an operating system are written once, on these few functions. AVX-512, AVX2 with FMA, NEON
 * and SSE2 have their own; any other machine gets four floats in plain C. Which one it is changes the time and the last
 * bits of a sum (a fused multiply-add rounds once), never the order of the terms of one sum. */
#ifndef VECTOR_F32_H
#define VECTOR_F32_H

#include <stdint.h>

#if defined(__AVX512F__) && !defined(VECTOR_F32_PLAIN)
#include "vector_avx512_f32.h"
#elif defined(__AVX2__) && defined(__FMA__) && !defined(VECTOR_F32_PLAIN)
#include "vector_avx2_f32.h"
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(VECTOR_F32_PLAIN)
#include "vector_neon_f32.h"
#elif defined(__SSE2__) && !defined(VECTOR_F32_PLAIN)
#include "vector_sse2_f32.h"
#else
#include "vector_plain_f32.h"
#endif

static inline vf32 vf32_max(vf32 a, vf32 b) /* a NaN of `a` stays, one of `b` wins */
{
    return vf32_select(vf32_less(a, b), b, vf32_select(vf32_unequal(b, b), b, a));
}

/* The first `count` lanes. */
static inline void vf32_store_part(float *to, vf32 x, int32_t count)
{
    float lanes[VF32_LANES];
    if (count >= VF32_LANES) {
        vf32_store(to, x);
        return;
    }
    vf32_store(lanes, x);
    for (int32_t i = 0; i < count; ++i) {
        to[i] = lanes[i];
    }
}

#endif
