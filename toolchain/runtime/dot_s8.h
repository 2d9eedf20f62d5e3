/* One int8 vector against others: the inner loop of convolutions and dense layers, and the one place where instruction
 * sets differ. Sums are exact, so that every variant gives the same bytes. */
#ifndef DOT_S8_H
#define DOT_S8_H

#include <stdint.h>

typedef struct {
    int32_t rows; /* runs of `run` bytes */
    int32_t run;
    int32_t shared_pitch; /* bytes from one run of the shared vector to the next */
    int32_t pitch;        /* the same of the four vectors */
} dot_s8_shape;

/* sums[i] = bias[i] + shared . x[i], for four vectors. */
void dot_s8_four(
    const dot_s8_shape *shape, const int8_t *shared, const int8_t *const x[4], const int32_t bias[4], int32_t sums[4]);

/* bias + shared . x */
int32_t dot_s8_one(const dot_s8_shape *shape, const int8_t *shared, const int8_t *x, int32_t bias);

#endif
