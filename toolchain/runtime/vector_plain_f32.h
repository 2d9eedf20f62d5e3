/* A vector of floats in plain C, where no instruction set is known: see vector_f32.h. */
#ifndef VECTOR_PLAIN_F32_H
#define VECTOR_PLAIN_F32_H

#include <math.h>
#include <stdint.h>

#ifndef VECTOR_F32_PLAIN
#define VECTOR_F32_PLAIN 4 /* lanes; tests build other widths too */
#endif

enum { VF32_LANES = VECTOR_F32_PLAIN };

typedef struct {
    float lane[VECTOR_F32_PLAIN];
} vf32;
typedef struct {
    int lane[VECTOR_F32_PLAIN];
} vf32_mask;

/* The body of a function whose result has this value in each lane i. */
#define VF32_EACH(type, value) \
    type made; \
    for (int32_t i = 0; i < VF32_LANES; ++i) { \
        made.lane[i] = (value); \
    } \
    return made

static inline vf32 vf32_load(const float *from)
{
    VF32_EACH(vf32, from[i]);
}

static inline void vf32_store(float *to, vf32 x)
{
    for (int32_t i = 0; i < VF32_LANES; ++i) {
        to[i] = x.lane[i];
    }
}

static inline vf32 vf32_splat(float x)
{
    VF32_EACH(vf32, x);
}

static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c)
{
    VF32_EACH(vf32, (a.lane[i] * b.lane[i]) + c.lane[i]);
}

static inline vf32 vf32_add(vf32 a, vf32 b)
{
    VF32_EACH(vf32, a.lane[i] + b.lane[i]);
}

static inline vf32 vf32_sub(vf32 a, vf32 b)
{
    VF32_EACH(vf32, a.lane[i] - b.lane[i]);
}

static inline vf32 vf32_mul(vf32 a, vf32 b)
{
    VF32_EACH(vf32, a.lane[i] * b.lane[i]);
}

static inline vf32 vf32_div(vf32 a, vf32 b)
{
    VF32_EACH(vf32, a.lane[i] / b.lane[i]);
}

/* The larger and the smaller of x and a bound; a NaN of x stays one. */
static inline vf32 vf32_at_least(vf32 x, vf32 low)
{
    VF32_EACH(vf32, (x.lane[i] < low.lane[i]) ? low.lane[i] : x.lane[i]);
}

static inline vf32 vf32_at_most(vf32 x, vf32 high)
{
    VF32_EACH(vf32, (x.lane[i] > high.lane[i]) ? high.lane[i] : x.lane[i]);
}

static inline vf32 vf32_sqrt(vf32 x)
{
    VF32_EACH(vf32, sqrtf(x.lane[i]));
}

static inline vf32_mask vf32_less(vf32 a, vf32 b)
{
    VF32_EACH(vf32_mask, a.lane[i] < b.lane[i]);
}

static inline vf32_mask vf32_unequal(vf32 a, vf32 b)
{
    VF32_EACH(vf32_mask, !(a.lane[i] == b.lane[i]));
}

static inline vf32 vf32_select(vf32_mask mask, vf32 yes, vf32 no)
{
    VF32_EACH(vf32, mask.lane[i] ? yes.lane[i] : no.lane[i]);
}

static inline vf32 vf32_power2(vf32 n)
{
    VF32_EACH(vf32, ldexpf(1.0f, (int)n.lane[i]));
}

/* The even places of two vectors in a row. */
static inline vf32 vf32_even(vf32 a, vf32 b)
{
    VF32_EACH(vf32, (2 * i < VF32_LANES) ? a.lane[2 * i] : b.lane[(2 * i) - VF32_LANES]);
}

static inline vf32 vf32_odd(vf32 a, vf32 b)
{
    VF32_EACH(vf32, (2 * i < VF32_LANES) ? a.lane[(2 * i) + 1] : b.lane[(2 * i) + 1 - VF32_LANES]);
}

#undef VF32_EACH

#endif
