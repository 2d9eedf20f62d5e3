/* A matrix turned: see reorder_f32.h. */
#include "reorder_f32.h"

void reorder_f32(const reorder_f32_layer *layer, const float *in, float *out)
{
    for (int32_t column = 0; column < layer->columns; ++column) {
        for (int32_t row = 0; row < layer->rows; ++row) {
            *out++ = in[(row * layer->columns) + column];
        }
    }
}
