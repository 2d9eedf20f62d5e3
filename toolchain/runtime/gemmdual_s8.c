/* A dense layer with two outputs to a weight: see gemmdual_s8.h. */
#include "gemmdual_s8.h"

#include <string.h>

#include "dual_s8.h"
#include "lines_s8.h"

static void finish(const requantize_s8 *q, const int32_t *sums, int32_t first, int32_t count, int8_t *out)
{
    const int32_t *const multipliers = q->multipliers + first;
    const int32_t zero = q->zero;
    const int32_t shift = q->shift;
    if (requantize_s8_plain(q)) {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = requantize_s8_saturated(requantize_s8_rounded(sums[i], multipliers[i]) + zero);
        }
    } else if (requantize_s8_plain_high(q)) {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = requantize_s8_saturated(requantize_s8_high(sums[i], multipliers[i], shift) + zero);
        }
    } else {
        for (int32_t i = 0; i < count; ++i) {
            out[i] = requantize_s8_any(q, sums[i], first + i);
        }
    }
}

void gemmdual_s8(const gemmdual_s8_layer *layer, const int8_t *in, int8_t *out, int8_t *scratch)
{
    const gemmdual_s8_layer *const l = layer;
    int16_t *const x = (int16_t *)(void *)scratch;
    memset(x, 0, (size_t)l->words * 2 * sizeof *x); /* beyond the inputs, where weights are 0 */
    for (int32_t row = 0; row < l->rows; ++row) {
        const int32_t *weights = l->weights;
        lines_s8_widen(in, l->in_features, x);
        for (int32_t o = 0; o < l->out_features; o += GEMMDUAL_S8_BLOCK) {
            int32_t sums[GEMMDUAL_S8_BLOCK];
            const int32_t left = l->out_features - o;
            const int32_t held = (left < GEMMDUAL_S8_BLOCK) ? left : GEMMDUAL_S8_BLOCK;
            for (int32_t i = 0; i < held; i += 4) {
                weights = dual_s8_rows(x, weights, l->words, l->bias + o + i, sums + i);
            }
            finish(&l->output, sums, o, held, out + o);
        }
        in += l->in_features;
        out += l->out_features;
    }
}
