/* Local response normalisation of float maps for machines with vectors, with the exponent 3/4 of AlexNet:
 * x / (bias + weight sum of squares)^(3/4) over neighbouring channels. */
#ifndef LRNWIDE_F32_H
#define LRNWIDE_F32_H

#include <stdint.h>

typedef struct {
    int32_t positions, channels;
    int32_t before, after; /* channels of the window on either side */
    float weight, bias;
} lrnwide_f32_layer;

/* in, out: [positions][channels], apart
 * scratch: before + channels + after + 16 floats */
void lrnwide_f32(const lrnwide_f32_layer *layer, const float *in, float *out, float *scratch);

#endif
