/* float to int8: y = clamp(round_half_even(x / scale) + zero), exactly. */
#ifndef QUANTIZE_F32_S8_H
#define QUANTIZE_F32_S8_H

#include <stdint.h>

typedef struct {
    int32_t channels, plane; /* in: [channels][plane]; out: [plane][channels] */
    float scale;
    int32_t zero;
    int32_t low, high; /* clamps */
} quantize_f32_s8_layer;

/* out may lie in the same bytes as `in` where channels or plane is 1. */
void quantize_f32_s8(const quantize_f32_s8_layer *layer, const float *in, int8_t *out);

#endif
