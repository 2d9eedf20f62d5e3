/* Four floats, SSE2: every x86-64: see vector_f32.h. */
#ifndef VECTOR_SSE2_F32_H
#define VECTOR_SSE2_F32_H

#include <emmintrin.h>
#include <stdint.h>

enum { VF32_LANES = 4 };
typedef __m128 vf32;
typedef __m128 vf32_mask;

static inline vf32 vf32_load(const float *from)
{
    return _mm_loadu_ps(from);
}

static inline void vf32_store(float *to, vf32 x)
{
    _mm_storeu_ps(to, x);
}

static inline vf32 vf32_splat(float x)
{
    return _mm_set1_ps(x);
}

static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c)
{
    return _mm_add_ps(_mm_mul_ps(a, b), c);
}

static inline vf32 vf32_add(vf32 a, vf32 b)
{
    return _mm_add_ps(a, b);
}

static inline vf32 vf32_sub(vf32 a, vf32 b)
{
    return _mm_sub_ps(a, b);
}

static inline vf32 vf32_mul(vf32 a, vf32 b)
{
    return _mm_mul_ps(a, b);
}

static inline vf32 vf32_div(vf32 a, vf32 b)
{
    return _mm_div_ps(a, b);
}

static inline vf32 vf32_at_least(vf32 x, vf32 low)
{
    return _mm_max_ps(low, x);
}

static inline vf32 vf32_at_most(vf32 x, vf32 high)
{
    return _mm_min_ps(high, x);
}

static inline vf32 vf32_sqrt(vf32 x)
{
    return _mm_sqrt_ps(x);
}

static inline vf32_mask vf32_less(vf32 a, vf32 b)
{
    return _mm_cmplt_ps(a, b);
}

static inline vf32_mask vf32_unequal(vf32 a, vf32 b)
{
    return _mm_cmpneq_ps(a, b);
}

static inline vf32 vf32_select(vf32_mask mask, vf32 yes, vf32 no)
{
    return _mm_or_ps(_mm_and_ps(mask, yes), _mm_andnot_ps(mask, no));
}

static inline vf32 vf32_power2(vf32 n)
{
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_cvtps_epi32(n), _mm_set1_epi32(127)), 23));
}

static inline vf32 vf32_even(vf32 a, vf32 b)
{
    return _mm_shuffle_ps(a, b, 0x88);
}

static inline vf32 vf32_odd(vf32 a, vf32 b)
{
    return _mm_shuffle_ps(a, b, 0xDD);
}

#endif
