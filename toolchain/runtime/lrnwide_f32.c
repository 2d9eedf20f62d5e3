/* Local response normalisation for machines with vectors: see lrnwide_f32.h.
 *
 * x^(3/4) is the product of the root and the root of the root, each off by half a unit in the last place. */
#include "lrnwide_f32.h"

#include <stddef.h>
#include <string.h>

#include "vector_f32.h"

static vf32 power(vf32 x)
{
    const vf32 root = vf32_sqrt(x);
    return vf32_mul(root, vf32_sqrt(root));
}

static vf32 load_part(const float *from, int32_t count)
{
    float lanes[VF32_LANES] = {0.0f};
    if (count >= VF32_LANES) {
        return vf32_load(from);
    }
    memcpy(lanes, from, (size_t)count * sizeof *from);
    return vf32_load(lanes);
}

void lrnwide_f32(const lrnwide_f32_layer *layer, const float *in, float *out, float *scratch)
{
    const lrnwide_f32_layer *const l = layer;
    const int32_t size = l->before + l->channels + l->after + 16;
    const vf32 bias = vf32_splat(l->bias);
    const vf32 weight = vf32_splat(l->weight);
    memset(scratch, 0, (size_t)size * sizeof *scratch);
    for (int32_t position = 0; position < l->positions; ++position) {
        for (int32_t c = 0; c < l->channels; ++c) {
            scratch[l->before + c] = in[c] * in[c];
        }
        for (int32_t c = 0; c < l->channels; c += VF32_LANES) {
            vf32 squares = vf32_load(scratch + c);
            for (int32_t i = 1; i <= l->before + l->after; ++i) {
                squares = vf32_add(squares, vf32_load(scratch + c + i));
            }
            const vf32 y = vf32_div(load_part(in + c, l->channels - c), power(vf32_fma(weight, squares, bias)));
            vf32_store_part(out + c, y, l->channels - c);
        }
        in += l->channels;
        out += l->channels;
    }
}
