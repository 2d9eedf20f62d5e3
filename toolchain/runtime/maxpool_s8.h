/* Largest int8 value of each window. */
#ifndef MAXPOOL_S8_H
#define MAXPOOL_S8_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int32_t in_height, in_width, channels;
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    const int8_t *table; /* [256], applied to the result; or NULL */
} maxpool_s8_layer;

/* in: [in_height][in_width][channels]; out: [out_height][out_width][channels], may lie before `in` and reach into
 * what has been read. Taps outside the map do not count. */
void maxpool_s8(const maxpool_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
