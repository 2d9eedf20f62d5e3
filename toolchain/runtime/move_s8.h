/* Elements of a tensor in another order: moved, repeated, left out, or with a border around them. */
#ifndef MOVE_S8_H
#define MOVE_S8_H

#include <stdint.h>

/* An offset that reads nothing: the fill value is written. */
#define MOVE_OUTSIDE (-1)

typedef struct {
    int32_t size_0, size_1, size_2, size_3, size_4; /* axes of the result, as they lie in memory */
    const int32_t *offsets_0, *offsets_1, *offsets_2, *offsets_3, *offsets_4; /* [size] each: where an index reads */
    int32_t run; /* elements side by side, moved as one */
    int8_t fill;
} move_s8_layer;

/* An element of `out` stands in `in` at the sum of the offsets of its indices. The two lie apart. */
void move_s8(const move_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
