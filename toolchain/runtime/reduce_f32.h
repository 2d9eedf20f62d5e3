/* Mean, sum, maximum or minimum of each row of floats. */
#ifndef REDUCE_F32_H
#define REDUCE_F32_H

#include "activation_f32.h"

typedef enum {
    REDUCE_MEAN,
    REDUCE_SUM,
    REDUCE_MAX,
    REDUCE_MIN
} reduce_kind;

typedef struct {
    reduce_kind kind;
    int32_t rows, columns;
    activation_f32 activation; /* of the result */
} reduce_f32_layer;

/* in: [rows][columns]; out: [rows], apart from `in`. */
void reduce_f32(const reduce_f32_layer *layer, const float *in, float *out);

#endif
