/* Softmax of each row: see softmax_f32.h. The largest value is taken off first, so that nothing overflows. */
#include "softmax_f32.h"

#include <math.h>

void softmax_f32(const softmax_f32_layer *layer, const float *in, float *out)
{
    for (int32_t row = 0; row < layer->rows; ++row) {
        float largest = in[0];
        for (int32_t i = 1; i < layer->columns; ++i) {
            largest = (in[i] > largest) ? in[i] : largest;
        }
        float sum = 0.0f;
        for (int32_t i = 0; i < layer->columns; ++i) {
            out[i] = expf(in[i] - largest);
            sum += out[i];
        }
        for (int32_t i = 0; i < layer->columns; ++i) {
            out[i] /= sum;
        }
        in += layer->columns;
        out += layer->columns;
    }
}
