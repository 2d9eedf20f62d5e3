/* requantize_s8 with one more form: see requantize_round_s8.h. */
#include "requantize_round_s8.h"

int8_t requantize_s8_any(const requantize_s8 *q, int32_t accumulator, int32_t channel)
{
    if (q->kind != REQUANTIZE_ROUND) {
        return requantize_s8_value(q, accumulator, channel);
    }
    int32_t y = requantize_s8_rounded(accumulator, q->multipliers[channel]) + q->zero;
    y = (y < q->low) ? q->low : y;
    y = (y > q->high) ? q->high : y;
    return (q->table != NULL) ? q->table[y + 128] : (int8_t)y;
}
