/* A dense layer: see gemm_f32.h. A compiler vectorises over a block of outputs, in two sums that halve the roundings
 * of a long one. */
#include "gemm_f32.h"

#include <stddef.h>

static void one_block(const gemm_f32_layer *l, const float *in, ptrdiff_t index, float *sums)
{
    const float *weights = l->weights + (index * l->in_features * GEMM_F32_BLOCK);
    const float *const bias = l->bias + (index * GEMM_F32_BLOCK);
    float even[GEMM_F32_BLOCK];
    float odd[GEMM_F32_BLOCK];
    for (int32_t c = 0; c < GEMM_F32_BLOCK; ++c) {
        even[c] = bias[c];
        odd[c] = 0.0f;
    }
    int32_t i = 0;
    for (; i + 2 <= l->in_features; i += 2) {
        for (int32_t c = 0; c < GEMM_F32_BLOCK; ++c) {
            even[c] += in[i] * weights[c];
            odd[c] += in[i + 1] * weights[GEMM_F32_BLOCK + c];
        }
        weights += 2 * GEMM_F32_BLOCK;
    }
    for (int32_t c = 0; c < GEMM_F32_BLOCK; ++c) {
        sums[c] = (i < l->in_features) ? (even[c] + (in[i] * weights[c])) + odd[c] : even[c] + odd[c];
    }
}

void gemm_f32(const gemm_f32_layer *layer, const float *in, float *out)
{
    for (int32_t row = 0; row < layer->rows; ++row) {
        for (int32_t first = 0; first < layer->out_features; first += GEMM_F32_BLOCK) {
            float sums[GEMM_F32_BLOCK];
            one_block(layer, in, first / GEMM_F32_BLOCK, sums);
            for (int32_t c = 0; c < GEMM_F32_BLOCK && first + c < layer->out_features; ++c) {
                out[first + c] = activation_f32_value(&layer->activation, sums[c]);
            }
        }
        in += layer->in_features;
        out += layer->out_features;
    }
}
