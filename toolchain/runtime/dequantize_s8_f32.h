/* int8 to float: y = (x - zero) * scale, rounded once. */
#ifndef DEQUANTIZE_S8_F32_H
#define DEQUANTIZE_S8_F32_H

#include <stdint.h>

typedef struct {
    int32_t channels, plane; /* in: [plane][channels]; out: [channels][plane] */
    float scale;
    int32_t zero;
} dequantize_s8_f32_layer;

void dequantize_s8_f32(const dequantize_s8_f32_layer *layer, const int8_t *in, float *out);

#endif
