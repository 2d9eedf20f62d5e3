/* A function of one int8 value, as a table of all its values. */
#ifndef TABLE_S8_H
#define TABLE_S8_H

#include <stdint.h>

typedef struct {
    int32_t count;
    const int8_t *table; /* [256], indexed by value + 128 */
} table_s8_layer;

/* in, out: [count]; may be the same. */
void table_s8(const table_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
