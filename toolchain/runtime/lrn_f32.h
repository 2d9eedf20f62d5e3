/* Local response normalisation of float maps: x / (bias + weight sum of squares)^beta over neighbouring channels. */
#ifndef LRN_F32_H
#define LRN_F32_H

#include <stdint.h>

typedef struct {
    int32_t positions, channels;
    int32_t before, after; /* channels of the window on either side */
    float weight, beta, bias;
} lrn_f32_layer;

/* in, out: [positions][channels], apart. */
void lrn_f32(const lrn_f32_layer *layer, const float *in, float *out);

#endif
