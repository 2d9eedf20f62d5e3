/* An operation on two float tensors, with broadcasting. */
#ifndef BROADCAST_F32_H
#define BROADCAST_F32_H

#include "activation_f32.h"
#include "broadcast.h"

typedef enum {
    BROADCAST_ADD,
    BROADCAST_SUB,
    BROADCAST_MUL,
    BROADCAST_DIV,
    BROADCAST_MIN,
    BROADCAST_MAX,
    BROADCAST_POW,
    BROADCAST_PRELU /* a, or a b where a is negative */
} broadcast_kind;

typedef struct {
    broadcast_shape shape;
    broadcast_kind kind;
    activation_f32 activation; /* of the result */
} broadcast_f32_layer;

/* out may be `a` where `a` is not repeated. */
void broadcast_f32(const broadcast_f32_layer *layer, const float *a, const float *b, float *out);

#endif
