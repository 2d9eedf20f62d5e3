/* Mean, sum, maximum or minimum of each row of floats: see reduce_f32.h. */
#include "reduce_f32.h"

static float reduced(const reduce_f32_layer *l, const float *in)
{
    float value = in[0];
    for (int32_t i = 1; i < l->columns; ++i) {
        if (l->kind == REDUCE_MAX) {
            value = (in[i] > value || in[i] != in[i]) ? in[i] : value; /* a NaN stays one */
        } else if (l->kind == REDUCE_MIN) {
            value = (in[i] < value || in[i] != in[i]) ? in[i] : value;
        } else {
            value += in[i];
        }
    }
    return (l->kind == REDUCE_MEAN) ? value / (float)l->columns : value;
}

void reduce_f32(const reduce_f32_layer *layer, const float *in, float *out)
{
    for (int32_t row = 0; row < layer->rows; ++row) {
        out[row] = activation_f32_value(&layer->activation, reduced(layer, in));
        in += layer->columns;
    }
}
