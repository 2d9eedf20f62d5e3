/* A matrix turned: see reorder_s8.h. */
#include "reorder_s8.h"

void reorder_s8(const reorder_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t column = 0; column < layer->columns; ++column) {
        for (int32_t row = 0; row < layer->rows; ++row) {
            *out++ = in[(row * layer->columns) + column];
        }
    }
}
