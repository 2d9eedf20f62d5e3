/* Four floats, NEON of 64-bit Arm: see vector_f32.h. */
#ifndef VECTOR_NEON_F32_H
#define VECTOR_NEON_F32_H

#include <arm_neon.h>
#include <stdint.h>

enum { VF32_LANES = 4 };
typedef float32x4_t vf32;
typedef uint32x4_t vf32_mask;

static inline vf32 vf32_load(const float *from)
{
    return vld1q_f32(from);
}

static inline void vf32_store(float *to, vf32 x)
{
    vst1q_f32(to, x);
}

static inline vf32 vf32_splat(float x)
{
    return vdupq_n_f32(x);
}

static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c)
{
    return vfmaq_f32(c, a, b);
}

static inline vf32 vf32_add(vf32 a, vf32 b)
{
    return vaddq_f32(a, b);
}

static inline vf32 vf32_sub(vf32 a, vf32 b)
{
    return vsubq_f32(a, b);
}

static inline vf32 vf32_mul(vf32 a, vf32 b)
{
    return vmulq_f32(a, b);
}

static inline vf32 vf32_div(vf32 a, vf32 b)
{
    return vdivq_f32(a, b);
}

static inline vf32 vf32_at_least(vf32 x, vf32 low)
{
    return vmaxq_f32(x, low);
}

static inline vf32 vf32_at_most(vf32 x, vf32 high)
{
    return vminq_f32(x, high);
}

static inline vf32 vf32_sqrt(vf32 x)
{
    return vsqrtq_f32(x);
}

static inline vf32_mask vf32_less(vf32 a, vf32 b)
{
    return vcltq_f32(a, b);
}

static inline vf32_mask vf32_unequal(vf32 a, vf32 b)
{
    return vmvnq_u32(vceqq_f32(a, b));
}

static inline vf32 vf32_select(vf32_mask mask, vf32 yes, vf32 no)
{
    return vbslq_f32(mask, yes, no);
}

static inline vf32 vf32_power2(vf32 n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}

static inline vf32 vf32_even(vf32 a, vf32 b)
{
    return vuzp1q_f32(a, b);
}

static inline vf32 vf32_odd(vf32 a, vf32 b)
{
    return vuzp2q_f32(a, b);
}

#endif
