/* A dense layer with its sums in the registers of a scalar FPU: see gemmscalar_f32.h. */
#include "gemmscalar_f32.h"

#include <string.h>

static void one_vector(const gemmscalar_f32_layer *l, const float *in, float *out)
{
    const float *weights = l->weights;
    int32_t left = l->out_features;
    for (int32_t block = 0; left > 0; ++block) {
        float sums[SCALAR_F32_DOZEN];
        const int dozen = block < l->dozens;
        const int32_t wide = dozen ? SCALAR_F32_DOZEN : SCALAR_F32_FOUR;
        const int32_t made = (left < wide) ? left : wide;
        if (dozen) {
            weights = scalar_f32_dozen(in, l->in_features, weights, sums);
        } else {
            weights = scalar_f32_quartet(in, l->in_features, weights, sums);
        }
        memcpy(out, sums, (size_t)made * sizeof *out);
        out += made;
        left -= made;
    }
}

void gemmscalar_f32(const gemmscalar_f32_layer *layer, const float *in, float *out)
{
    for (int32_t row = 0; row < layer->rows; ++row) {
        one_vector(layer, in, out);
        scalar_f32_activate(&layer->activation, out, layer->out_features);
        in += layer->in_features;
        out += layer->out_features;
    }
}
