/* An operation on two float tensors: see broadcast_f32.h. */
#include "broadcast_f32.h"

#include <math.h>
#include <stddef.h>

/* What has no loop of its own. */
static float operated(broadcast_kind kind, float a, float b)
{
    switch (kind) {
    case BROADCAST_SUB:
        return a - b;
    case BROADCAST_DIV:
        return a / b;
    case BROADCAST_MIN: /* a NaN stays one */
        return (a < b || a != a) ? a : b;
    case BROADCAST_MAX:
        return (a > b || a != a) ? a : b;
    case BROADCAST_POW:
        return powf(a, b);
    case BROADCAST_PRELU:
    case BROADCAST_ADD: /* by line */
    case BROADCAST_MUL:
    default:
        return (a < 0.0f) ? a * b : a;
    }
}

/* The innermost axis. Sums and products, which are most, have loops of their own that a compiler can widen. */
static void line(const broadcast_f32_layer *l, const float *a, const float *b, float *out)
{
    const ptrdiff_t step_a = l->shape.a_3;
    const ptrdiff_t step_b = l->shape.b_3;
    const int32_t count = l->shape.size_3;
    if (l->kind == BROADCAST_ADD) {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = a[i * step_a] + b[i * step_b];
        }
    } else if (l->kind == BROADCAST_MUL) {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = a[i * step_a] * b[i * step_b];
        }
    } else {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = operated(l->kind, a[i * step_a], b[i * step_b]);
        }
    }
    if (l->activation.kind != ACTIVATION_NONE) {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = activation_f32_value(&l->activation, out[i]);
        }
    }
}

void broadcast_f32(const broadcast_f32_layer *layer, const float *a, const float *b, float *out)
{
    const broadcast_shape *const s = &layer->shape;
    for (int32_t i = 0; i < s->size_0; ++i) {
        for (int32_t j = 0; j < s->size_1; ++j) {
            const float *const from_a = a + (((ptrdiff_t)i * s->a_0) + ((ptrdiff_t)j * s->a_1));
            const float *const from_b = b + (((ptrdiff_t)i * s->b_0) + ((ptrdiff_t)j * s->b_1));
            for (int32_t k = 0; k < s->size_2; ++k) {
                line(layer, from_a + ((ptrdiff_t)k * s->a_2), from_b + ((ptrdiff_t)k * s->b_2), out);
                out += s->size_3;
            }
        }
    }
}
