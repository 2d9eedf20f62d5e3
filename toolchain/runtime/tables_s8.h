/* A function of one int8 value for each channel, as tables of all its values. */
#ifndef TABLES_S8_H
#define TABLES_S8_H

#include <stdint.h>

typedef struct {
    int32_t count;
    int32_t channels;
    int32_t repeat;        /* elements side by side that belong to one channel */
    const uint16_t *which; /* [channels]: the table of each */
    const int8_t *tables;  /* [...][256], indexed by value + 128 */
} tables_s8_layer;

/* in, out: [count / (channels repeat)][channels][repeat]; may be the same. */
void tables_s8(const tables_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
