/* A function of two int8 values: see pairs_s8.h. */
#include "pairs_s8.h"

void pairs_s8(const pairs_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = layer->table[((a[i] + 128) * 256) + b[i] + 128];
    }
}
