/* Mean of the int8 values of each window, rounded once from the exact sum. */
#ifndef AVERAGEPOOL_S8_H
#define AVERAGEPOOL_S8_H

#include "requantize_s8.h"

typedef struct {
    int32_t in_height, in_width, channels;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t zero;                /* zero point of the input */
    const uint8_t *divisors;     /* [out_height][out_width]: which of `outputs` divides by the window's size */
    const requantize_s8 *outputs;
} averagepool_s8_layer;

/* in: [in_height][in_width][channels]; out: [out_height][out_width][channels], may lie before `in` and reach into
 * what has been read. Taps outside the map add nothing. */
void averagepool_s8(const averagepool_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
