/* Elements of a tensor in another order: moved, repeated, left out, or with a border around them. */
#ifndef MOVE_F32_H
#define MOVE_F32_H

#include <stdint.h>

/* An offset that reads nothing: the fill value is written. */
#define MOVE_OUTSIDE (-1)

typedef struct {
    int32_t size_0, size_1, size_2, size_3, size_4; /* axes of the result, as they lie in memory */
    const int32_t *offsets_0, *offsets_1, *offsets_2, *offsets_3, *offsets_4; /* [size] each: where an index reads */
    int32_t run; /* elements side by side, moved as one */
    float fill;
} move_f32_layer;

/* An element of `out` stands in `in` at the sum of the offsets of its indices. The two lie apart. */
void move_f32(const move_f32_layer *layer, const float *in, float *out);

#endif
