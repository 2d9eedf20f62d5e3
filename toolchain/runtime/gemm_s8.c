/* A dense layer: see gemm_s8.h. Four outputs at a time share each input that is loaded. */
#include "gemm_s8.h"

#include "dot_s8.h"

static void row_times_matrix(const gemm_s8_layer *l, const int8_t *in, int8_t *out)
{
    const int32_t n = l->in_features;
    const dot_s8_shape shape = {1, n, 0, 0};
    int32_t o = 0;
    for (; o + 4 <= l->out_features; o += 4) {
        const int8_t *const w = l->weights + ((ptrdiff_t)o * n);
        const int8_t *const rows[4] = {w, w + n, w + ((ptrdiff_t)2 * n), w + ((ptrdiff_t)3 * n)};
        int32_t sums[4];
        dot_s8_four(&shape, in, rows, l->bias + o, sums);
        for (int32_t i = 0; i < 4; ++i) {
            out[o + i] = requantize_s8_value(&l->output, sums[i], o + i);
        }
    }
    for (; o < l->out_features; ++o) {
        const int8_t *const row = l->weights + ((ptrdiff_t)o * n);
        out[o] = requantize_s8_value(&l->output, dot_s8_one(&shape, in, row, l->bias[o]), o);
    }
}

void gemm_s8(const gemm_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t row = 0; row < layer->rows; ++row) {
        row_times_matrix(layer, in + (row * layer->in_features), out + (row * layer->out_features));
    }
}
