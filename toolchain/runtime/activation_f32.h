/* Functions of one float. */
#ifndef ACTIVATION_F32_H
#define ACTIVATION_F32_H

#include <math.h>
#include <stdint.h>

typedef enum {
    ACTIVATION_NONE,
    ACTIVATION_CLAMP,        /* to alpha..beta: Relu, Clip */
    ACTIVATION_LEAKY,        /* alpha x where negative */
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_ELU,          /* alpha (exp(x) - 1) where negative */
    ACTIVATION_HARD_SIGMOID, /* alpha x + beta, to 0..1 */
    ACTIVATION_HARD_SWISH    /* x (alpha x + beta), the factor to 0..1 */
} activation_kind;

typedef struct {
    activation_kind kind;
    float alpha, beta;
} activation_f32;

static inline float activation_f32_clamp(float x, float low, float high)
{
    const float floored = (x < low) ? low : x; /* a NaN stays one */
    return (floored > high) ? high : floored;
}

static inline float activation_f32_value(const activation_f32 *a, float x)
{
    switch (a->kind) {
    case ACTIVATION_CLAMP:
        return activation_f32_clamp(x, a->alpha, a->beta);
    case ACTIVATION_LEAKY:
        return (x < 0.0f) ? a->alpha * x : x;
    case ACTIVATION_TANH:
        return tanhf(x);
    case ACTIVATION_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    case ACTIVATION_ELU:
        return (x < 0.0f) ? a->alpha * expm1f(x) : x;
    case ACTIVATION_HARD_SIGMOID:
        return activation_f32_clamp((a->alpha * x) + a->beta, 0.0f, 1.0f);
    case ACTIVATION_HARD_SWISH:
        return x * activation_f32_clamp((a->alpha * x) + a->beta, 0.0f, 1.0f);
    case ACTIVATION_NONE:
    default:
        return x;
    }
}

#endif
