/* A function of one int8 value: see table_s8.h. */
#include "table_s8.h"

void table_s8(const table_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = layer->table[in[i] + 128];
    }
}
