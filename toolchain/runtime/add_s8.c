/* Sum of two int8 tensors: see add_s8.h. */
#include "add_s8.h"

#include <stddef.h>

static int8_t added(const add_s8_layer *l, int32_t a, int32_t b)
{
    const int64_t sum = ((int64_t)a * l->factor_a) + ((int64_t)b * l->factor_b) + l->addend;
    int64_t rounded = sum >> l->shift;
    if (l->even != 0 && (sum & (((int64_t)1 << l->shift) - 1)) == 0) {
        rounded &= ~(int64_t)1;
    }
    rounded += l->zero;
    if (rounded < l->low) {
        rounded = l->low;
    }
    if (rounded > l->high) {
        rounded = l->high;
    }
    if (l->table != NULL) {
        return l->table[rounded + 128];
    }
    return (int8_t)rounded;
}

void add_s8(const add_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (int32_t i = 0; i < layer->count; ++i) {
        out[i] = added(layer, a[i], b[i]);
    }
}
