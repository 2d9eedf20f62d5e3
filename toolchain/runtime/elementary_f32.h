/* Functions of one float that are layers of their own. */
#ifndef ELEMENTARY_F32_H
#define ELEMENTARY_F32_H

#include "activation_f32.h"

typedef enum {
    ELEMENTARY_ABS,
    ELEMENTARY_NEG,
    ELEMENTARY_EXP,
    ELEMENTARY_LOG,
    ELEMENTARY_SQRT,
    ELEMENTARY_RECIPROCAL,
    ELEMENTARY_ERF,
    ELEMENTARY_FLOOR,
    ELEMENTARY_CEIL,
    ELEMENTARY_SOFTPLUS,    /* ln(1 + exp(x)) */
    ELEMENTARY_SOFTSIGN,    /* x / (1 + |x|) */
    ELEMENTARY_THRESHOLDED, /* x where above alpha, else 0 */
    ELEMENTARY_SWISH        /* x / (1 + exp(-alpha x)) */
} elementary_kind;

typedef struct {
    int32_t count;
    elementary_kind kind;
    float alpha;
    activation_f32 activation; /* of the result */
} elementary_f32_layer;

/* in, out: [count]; may be the same. */
void elementary_f32(const elementary_f32_layer *layer, const float *in, float *out);

#endif
