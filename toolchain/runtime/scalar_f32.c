/* Activations of many values: see scalar_f32.h. */
#include "scalar_f32.h"

void scalar_f32_activate(const activation_f32 *a, float *values, int32_t count)
{
    if (a->kind == ACTIVATION_NONE) {
        return;
    }
    if (a->kind == ACTIVATION_CLAMP) { /* a loop of its own for Relu, which is in most networks */
        const float low = a->alpha;
        const float high = a->beta;
        for (int32_t i = 0; i < count; ++i) {
            values[i] = activation_f32_clamp(values[i], low, high);
        }
        return;
    }
    for (int32_t i = 0; i < count; ++i) {
        values[i] = activation_f32_value(a, values[i]);
    }
}
