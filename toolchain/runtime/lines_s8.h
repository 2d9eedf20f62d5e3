/* Rows of an int8 map as lines of 16-bit values, with the padding beside and between them written out: no window that
 * is read from lines leaves them, and the DSP extension of Cortex-M multiplies two values of a line at once. */
#ifndef LINES_S8_H
#define LINES_S8_H

#include <stdint.h>

typedef struct {
    int32_t height;  /* of the map: rows */
    int32_t row;     /* bytes of a row: width * channels */
    int32_t left;    /* values of padding before a row */
    int32_t length;  /* values of a line: even, at least left + row */
    int32_t padding; /* what lies outside the map: its zero point */
} lines_s8_map;

/* Widens `count` bytes. */
void lines_s8_widen(const int8_t *from, int32_t count, int16_t *to);

/* Rows top, top + 1, ... of the map `in`; rows outside of it are padding.
 * lines: [count][map->length]; the last `kept` of them become the first, which saves widening them again */
void lines_s8(const lines_s8_map *map, const int8_t *in, int32_t top, int32_t count, int32_t kept, int16_t *lines);

#endif
