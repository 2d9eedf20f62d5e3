/* The functions of activation_f32.h on vectors.
 *
 * tanh is x P(x^2) / Q(x^2), both of degree 4, fitted to least relative error on 0..9 (0.2 units in the last place);
 * all coefficients are positive, so that nothing cancels. exp is 2^n times a polynomial of degree 6, fitted
 * likewise on -ln(2)/2..ln(2)/2 (0.03 units). tests/compile/test_float_functions.py measures both. */
#ifndef ACTIVATIONWIDE_F32_H
#define ACTIVATIONWIDE_F32_H

#include <stddef.h>

#include "activation_f32.h"
#include "vector_f32.h"

static inline vf32 activationwide_f32_clamp(vf32 x, vf32 low, vf32 high)
{
    return vf32_at_most(vf32_at_least(x, low), high);
}

static inline vf32 activationwide_f32_tanh(vf32 x)
{
    const vf32 near = activationwide_f32_clamp(x, vf32_splat(-9.0f), vf32_splat(9.0f));
    const vf32 t = vf32_mul(near, near);
    vf32 p = vf32_splat(1.3353239792890587e-8f);
    vf32 q = vf32_splat(7.775978745804219e-7f);
    p = vf32_fma(p, t, vf32_splat(2.0608068871846204e-5f));
    q = vf32_fma(q, t, vf32_splat(3.285535256636788e-4f));
    p = vf32_fma(p, t, vf32_splat(3.4955280024789605e-3f));
    q = vf32_fma(q, t, vf32_splat(2.5876755843193815e-2f));
    p = vf32_fma(p, t, vf32_splat(1.3380975852211122e-1f));
    q = vf32_fma(q, t, vf32_splat(4.671429151787413e-1f));
    p = vf32_fma(p, t, vf32_splat(1.0f));
    q = vf32_fma(q, t, vf32_splat(1.0f));
    return activationwide_f32_clamp(vf32_div(vf32_mul(near, p), q), vf32_splat(-1.0f), vf32_splat(1.0f));
}

/* exp(x) for x that neither overflows nor makes a subnormal; beyond, the value at the end of that range. */
static inline vf32 activationwide_f32_exp(vf32 x)
{
    const vf32 whole = vf32_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    const vf32 near = activationwide_f32_clamp(x, vf32_splat(-87.3f), vf32_splat(88.3f));
    const vf32 n = vf32_sub(vf32_fma(near, vf32_splat(1.44269504f), whole), whole);
    const vf32 high = vf32_fma(n, vf32_splat(-0.693359375f), near); /* ln(2) in two parts, the first of 9 bits */
    const vf32 r = vf32_fma(n, vf32_splat(2.12194440e-4f), high);
    vf32 y = vf32_splat(1.3814601844963185e-3f);
    y = vf32_fma(y, r, vf32_splat(8.368715218985023e-3f));
    y = vf32_fma(y, r, vf32_splat(4.166838788829462e-2f));
    y = vf32_fma(y, r, vf32_splat(1.6666520645345162e-1f));
    y = vf32_fma(y, r, vf32_splat(4.999999344869886e-1f));
    y = vf32_fma(y, r, vf32_splat(1.0f));
    y = vf32_fma(y, r, vf32_splat(1.0f));
    return vf32_mul(y, vf32_power2(n));
}

static inline vf32 activationwide_f32_sigmoid(vf32 x)
{
    const vf32 one = vf32_splat(1.0f);
    return vf32_div(one, vf32_add(one, activationwide_f32_exp(vf32_sub(vf32_splat(0.0f), x))));
}

static inline vf32 activationwide_f32_elu(vf32 x, vf32 alpha)
{
    const vf32 below = vf32_mul(alpha, vf32_sub(activationwide_f32_exp(x), vf32_splat(1.0f)));
    return vf32_select(vf32_less(x, vf32_splat(0.0f)), below, x);
}

static inline vf32 activationwide_f32_slope(vf32 x, vf32 alpha, vf32 beta)
{
    return activationwide_f32_clamp(vf32_fma(alpha, x, beta), vf32_splat(0.0f), vf32_splat(1.0f));
}

/* Does EXPRESSION for each vector x of values. */
#define ACTIVATIONWIDE_F32_EACH(expression) \
    for (ptrdiff_t i = 0; i < count; i += VF32_LANES) { \
        const vf32 x = vf32_load(values + i); \
        vf32_store(values + i, expression); \
    } \
    break

/* values: [count], changed in place; count is a multiple of VF32_LANES. */
static inline void activationwide_f32(const activation_f32 *a, float *values, ptrdiff_t count)
{
    const vf32 alpha = vf32_splat(a->alpha);
    const vf32 beta = vf32_splat(a->beta);
    switch (a->kind) {
    case ACTIVATION_CLAMP:
        ACTIVATIONWIDE_F32_EACH(activationwide_f32_clamp(x, alpha, beta));
    case ACTIVATION_LEAKY:
        ACTIVATIONWIDE_F32_EACH(vf32_select(vf32_less(x, vf32_splat(0.0f)), vf32_mul(alpha, x), x));
    case ACTIVATION_TANH:
        ACTIVATIONWIDE_F32_EACH(activationwide_f32_tanh(x));
    case ACTIVATION_SIGMOID:
        ACTIVATIONWIDE_F32_EACH(activationwide_f32_sigmoid(x));
    case ACTIVATION_ELU:
        ACTIVATIONWIDE_F32_EACH(activationwide_f32_elu(x, alpha));
    case ACTIVATION_HARD_SIGMOID:
        ACTIVATIONWIDE_F32_EACH(activationwide_f32_slope(x, alpha, beta));
    case ACTIVATION_HARD_SWISH:
        ACTIVATIONWIDE_F32_EACH(vf32_mul(x, activationwide_f32_slope(x, alpha, beta)));
    case ACTIVATION_NONE:
    default:
        break;
    }
}

#undef ACTIVATIONWIDE_F32_EACH

/* Whether the largest result is the result of the largest value. */
static inline int activationwide_f32_rises(const activation_f32 *a)
{
    return a->kind == ACTIVATION_NONE || a->kind == ACTIVATION_CLAMP || a->kind == ACTIVATION_TANH ||
           a->kind == ACTIVATION_SIGMOID;
}

#endif
