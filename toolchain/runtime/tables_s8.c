/* A function of one int8 value for each channel: see tables_s8.h. */
#include "tables_s8.h"

#include <stddef.h>

void tables_s8(const tables_s8_layer *layer, const int8_t *in, int8_t *out)
{
    int32_t i = 0;
    while (i < layer->count) {
        for (int32_t channel = 0; channel < layer->channels; ++channel) {
            const int8_t *const table = layer->tables + ((ptrdiff_t)layer->which[channel] * 256);
            for (int32_t last = i + layer->repeat; i < last; ++i) {
                out[i] = table[in[i] + 128];
            }
        }
    }
}
