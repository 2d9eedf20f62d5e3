/* Functions of one float: see elementary_f32.h. */
#include "elementary_f32.h"

#include <math.h>

static float elementary(const elementary_f32_layer *l, float x)
{
    switch (l->kind) {
    case ELEMENTARY_ABS:
        return fabsf(x);
    case ELEMENTARY_NEG:
        return -x;
    case ELEMENTARY_EXP:
        return expf(x);
    case ELEMENTARY_LOG:
        return logf(x);
    case ELEMENTARY_SQRT:
        return sqrtf(x);
    case ELEMENTARY_RECIPROCAL:
        return 1.0f / x;
    case ELEMENTARY_ERF:
        return erff(x);
    case ELEMENTARY_FLOOR:
        return floorf(x);
    case ELEMENTARY_CEIL:
        return ceilf(x);
    case ELEMENTARY_SOFTPLUS: /* exp of a number that is not positive cannot overflow */
        return ((x > 0.0f) ? x : 0.0f) + log1pf(expf(-fabsf(x)));
    case ELEMENTARY_SOFTSIGN:
        return x / (1.0f + fabsf(x));
    case ELEMENTARY_THRESHOLDED:
        return (x <= l->alpha) ? 0.0f : x;
    case ELEMENTARY_SWISH:
    default:
        return x / (1.0f + expf(-l->alpha * x));
    }
}

void elementary_f32(const elementary_f32_layer *layer, const float *in, float *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = activation_f32_value(&layer->activation, elementary(layer, in[i]));
    }
}
