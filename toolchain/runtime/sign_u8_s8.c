/* A matrix of uint8 values turned, and each less 128: see sign_u8_s8.h. */
#include "sign_u8_s8.h"

void sign_u8_s8(const sign_u8_s8_layer *layer, const uint8_t *in, int8_t *out)
{
    for (int32_t column = 0; column < layer->columns; ++column) {
        for (int32_t row = 0; row < layer->rows; ++row) {
            *out++ = (int8_t)((int32_t)in[(row * layer->columns) + column] - 128);
        }
    }
}
