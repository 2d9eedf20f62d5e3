/* A matrix of int8 values turned, and each plus 128: see unsign_s8_u8.h. */
#include "unsign_s8_u8.h"

void unsign_s8_u8(const unsign_s8_u8_layer *layer, const int8_t *in, uint8_t *out)
{
    for (int32_t column = 0; column < layer->columns; ++column) {
        for (int32_t row = 0; row < layer->rows; ++row) {
            *out++ = (uint8_t)((int32_t)in[(row * layer->columns) + column] + 128);
        }
    }
}
