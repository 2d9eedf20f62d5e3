/* Sum of two int8 tensors: see add_s8.h. */
#include "add_s8.h"

#include <stddef.h>
#include <string.h>

enum { BLOCK = 32 };

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

static int64_t magnitude(int64_t x)
{
    return (x < 0) ? -x : x;
}

/* Whether no sum needs more than 32 bits. */
static int is_narrow(const add_s8_layer *l)
{
    const int64_t products = 128 * (magnitude(l->factor_a) + magnitude(l->factor_b));
    return l->shift < 31 && products + magnitude(l->addend) <= INT32_MAX;
}

/* The same as `added` of a block, in 32 bits and without the table. `out` may be one of the others: all is read before
 * any of it is written. */
static void add_block(const add_s8_layer *l, const int8_t *a, const int8_t *b, int8_t *out)
{
    const int32_t factor_a = l->factor_a;
    const int32_t factor_b = l->factor_b;
    const int32_t addend = (int32_t)l->addend;
    const int32_t shift = l->shift;
    const int32_t fraction = (int32_t)(((uint32_t)1 << shift) - 1U);
    const int32_t even = (l->even != 0) ? 1 : 0;
    const int32_t zero = l->zero;
    const int32_t low = l->low;
    const int32_t high = l->high;
    int8_t block[BLOCK];
    for (int32_t i = 0; i < BLOCK; ++i) {
        const int32_t sum = (a[i] * factor_a) + (b[i] * factor_b) + addend;
        const int32_t tie = ((sum & fraction) == 0) ? even : 0;
        const int32_t rounded = ((sum >> shift) & ~tie) + zero;
        const int32_t raised = (rounded < low) ? low : rounded;
        block[i] = (int8_t)((raised > high) ? high : raised);
    }
    memcpy(out, block, sizeof block);
}

void add_s8(const add_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    int32_t i = 0;
    if (is_narrow(layer) != 0) {
        for (; i + BLOCK <= layer->count; i += BLOCK) {
            add_block(layer, a + i, b + i, out + i);
            for (int32_t k = i; layer->table != NULL && k < i + BLOCK; ++k) {
                out[k] = layer->table[out[k] + 128];
            }
        }
    }
    for (; i < layer->count; ++i) {
        out[i] = added(layer, a[i], b[i]);
    }
}
