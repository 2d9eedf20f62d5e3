/* Sixteen floats, AVX-512: see vector_f32.h. */
#ifndef VECTOR_AVX512_F32_H
#define VECTOR_AVX512_F32_H

#include <immintrin.h>
#include <stdint.h>

enum { VF32_LANES = 16 };
typedef __m512 vf32;
typedef __mmask16 vf32_mask;

static inline vf32 vf32_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

static inline void vf32_store(float *to, vf32 x)
{
    _mm512_storeu_ps(to, x);
}

static inline vf32 vf32_splat(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf32 vf32_add(vf32 a, vf32 b)
{
    return _mm512_add_ps(a, b);
}

static inline vf32 vf32_sub(vf32 a, vf32 b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf32 vf32_mul(vf32 a, vf32 b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf32 vf32_div(vf32 a, vf32 b)
{
    return _mm512_div_ps(a, b);
}

/* The larger and the smaller of x and a bound; a NaN of x stays one. */
static inline vf32 vf32_at_least(vf32 x, vf32 low)
{
    return _mm512_max_ps(low, x);
}

static inline vf32 vf32_at_most(vf32 x, vf32 high)
{
    return _mm512_min_ps(high, x);
}

static inline vf32 vf32_sqrt(vf32 x)
{
    return _mm512_sqrt_ps(x);
}

static inline vf32_mask vf32_less(vf32 a, vf32 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

static inline vf32_mask vf32_unequal(vf32 a, vf32 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ);
}

static inline vf32 vf32_select(vf32_mask mask, vf32 yes, vf32 no)
{
    return _mm512_mask_blend_ps(mask, no, yes);
}

/* 2 to the power of a whole number from -126 to 127. */
static inline vf32 vf32_power2(vf32 n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

/* The even places of two vectors in a row. */
static inline vf32 vf32_even(vf32 a, vf32 b)
{
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, even, b);
}

static inline vf32 vf32_odd(vf32 a, vf32 b)
{
    const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_ps(a, odd, b);
}

#endif
