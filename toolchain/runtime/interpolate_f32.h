/* Float maps of another size: every output is a weighted sum of some rows' and columns' elements. */
#ifndef INTERPOLATE_F32_H
#define INTERPOLATE_F32_H

#include "activation_f32.h"

typedef struct {
    int32_t in_width, channels;
    int32_t out_height, out_width;
    int32_t row_taps, column_taps;
    const int32_t *rows;         /* [out_height][row_taps]: rows of the input */
    const float *row_weights;    /* the same */
    const int32_t *columns;      /* [out_width][column_taps] */
    const float *column_weights; /* the same */
    activation_f32 activation;   /* of the result */
} interpolate_f32_layer;

/* in: [...][in_width][channels]; out: [out_height][out_width][channels], apart from `in`. */
void interpolate_f32(const interpolate_f32_layer *layer, const float *in, float *out);

#endif
