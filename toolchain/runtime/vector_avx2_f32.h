/* Eight floats, AVX2 and FMA: see vector_f32.h. */
#ifndef VECTOR_AVX2_F32_H
#define VECTOR_AVX2_F32_H

#include <immintrin.h>
#include <stdint.h>

enum { VF32_LANES = 8 };
typedef __m256 vf32;
typedef __m256 vf32_mask;

static inline vf32 vf32_load(const float *from)
{
    return _mm256_loadu_ps(from);
}

static inline void vf32_store(float *to, vf32 x)
{
    _mm256_storeu_ps(to, x);
}

static inline vf32 vf32_splat(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vf32 vf32_add(vf32 a, vf32 b)
{
    return _mm256_add_ps(a, b);
}

static inline vf32 vf32_sub(vf32 a, vf32 b)
{
    return _mm256_sub_ps(a, b);
}

static inline vf32 vf32_mul(vf32 a, vf32 b)
{
    return _mm256_mul_ps(a, b);
}

static inline vf32 vf32_div(vf32 a, vf32 b)
{
    return _mm256_div_ps(a, b);
}

static inline vf32 vf32_at_least(vf32 x, vf32 low)
{
    return _mm256_max_ps(low, x);
}

static inline vf32 vf32_at_most(vf32 x, vf32 high)
{
    return _mm256_min_ps(high, x);
}

static inline vf32 vf32_sqrt(vf32 x)
{
    return _mm256_sqrt_ps(x);
}

static inline vf32_mask vf32_less(vf32 a, vf32 b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

static inline vf32_mask vf32_unequal(vf32 a, vf32 b)
{
    return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ);
}

static inline vf32 vf32_select(vf32_mask mask, vf32 yes, vf32 no)
{
    return _mm256_blendv_ps(no, yes, mask);
}

static inline vf32 vf32_power2(vf32 n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

static inline vf32 vf32_even(vf32 a, vf32 b)
{
    const __m256d halves = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(halves, 0xD8));
}

static inline vf32 vf32_odd(vf32 a, vf32 b)
{
    const __m256d halves = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xDD));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(halves, 0xD8));
}

#endif
