/* A dense layer by vectors: see gemmvector_s8.h. */
#include "gemmvector_s8.h"

#include <string.h>

#include "vector_s8.h"

static void finish(const gemmvector_s8_layer *l, const int32_t *sums, int32_t first, int32_t count, int8_t *out)
{
    const requantize_s8 *const q = &l->output;
    if (requantize_s8_plain(q) || requantize_s8_plain_high(q)) {
        vector_s8_round(sums, 0, l->bias, q, first, count, out);
        return;
    }
    for (int32_t i = first; i < first + count; ++i) {
        out[i] = requantize_s8_any(q, *sums++ + l->bias[i], i);
    }
}

void gemmvector_s8(const gemmvector_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch)
{
    const gemmvector_s8_layer *const l = layer;
    const int32_t length = l->vectors * VECTOR_S8_LANES;
    for (int32_t row = 0; row < l->rows; ++row) {
        const int8_t *weights = l->weights;
        memcpy(scratch, in, (size_t)l->in_features);
        memset(scratch + l->in_features, 0, (size_t)(length - l->in_features));
        for (int32_t first = 0; first < l->out_features; first += GEMMVECTOR_S8_BLOCK) {
            int32_t sums[GEMMVECTOR_S8_BLOCK];
            const int32_t left = l->out_features - first;
            const int32_t count = (left < GEMMVECTOR_S8_BLOCK) ? left : GEMMVECTOR_S8_BLOCK;
            for (int32_t i = 0; i < count; i += VECTOR_S8_ROWS) {
                vector_s8_four(scratch, weights, l->vectors, sums + i, 1);
                weights += (ptrdiff_t)VECTOR_S8_ROWS * length;
            }
            finish(l, sums, first, count, out);
        }
        in += l->in_features;
        out += l->out_features;
    }
}
