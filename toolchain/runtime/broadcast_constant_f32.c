/* An operation on a float tensor and constants: see broadcast_constant_f32.h. */
#include "broadcast_constant_f32.h"

void broadcast_constant_f32(const broadcast_constant_f32_layer *layer, const float *in, float *out)
{
    const int constant_first = layer->first != 0;
    broadcast_f32(&layer->operation, constant_first ? layer->values : in, constant_first ? in : layer->values, out);
}
