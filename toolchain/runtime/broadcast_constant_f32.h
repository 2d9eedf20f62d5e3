/* An operation on a float tensor and constants, with broadcasting. */
#ifndef BROADCAST_CONSTANT_F32_H
#define BROADCAST_CONSTANT_F32_H

#include "broadcast_f32.h"

typedef struct {
    broadcast_f32_layer operation;
    const float *values;
    int32_t first; /* the constants are the first operand */
} broadcast_constant_f32_layer;

/* out may be `in` where `in` is the first operand and not repeated. */
void broadcast_constant_f32(const broadcast_constant_f32_layer *layer, const float *in, float *out);

#endif
