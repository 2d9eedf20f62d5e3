/* Local response normalisation of int8 maps, rounded as the exact real number is. */
#ifndef LRN_S8_H
#define LRN_S8_H

#include <stdint.h>

typedef struct {
    int32_t positions, channels;
    int32_t before, after; /* channels of the window on either side */
    int32_t zero_in;       /* zero point of the input */
    int32_t zero, low, high;
    const int32_t *starts;     /* [magnitudes + 1]: where the thresholds of each magnitude begin */
    const int16_t *levels;     /* [magnitudes]: the result of each with nothing but itself in the window */
    const int32_t *thresholds; /* the largest sum of squares at which the result still is a level, from it downwards;
                                  NULL where every magnitude has one level */
} lrn_s8_layer;

/* in, out: [positions][channels], apart. */
void lrn_s8(const lrn_s8_layer *layer, const int8_t *in, int8_t *out);

#endif
