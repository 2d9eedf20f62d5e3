/* Four windows at a time: see window_s8.h. */
#include "window_s8.h"

void window_s8_finish(const window_s8 *w, const int32_t *sums, int32_t real, int32_t channel, int8_t *pixel)
{
    if (w->pool == WINDOW_S8_MAX_POOL) {
        const requantize_s8 *const q = &w->output;
        const int32_t left = (sums[0] > sums[1]) ? sums[0] : sums[1]; /* the output rises with the sum */
        const int32_t right = (sums[2] > sums[3]) ? sums[2] : sums[3];
        const int32_t best = (left > right) ? left : right;
        pixel[channel] = requantize_s8_plain_high(q)
                             ? requantize_s8_saturated(
                                   requantize_s8_high(best, q->multipliers[channel], q->shift) + q->zero)
                             : requantize_s8_any(q, best, channel);
    } else if (w->pool == WINDOW_S8_AVERAGE_POOL) {
        int32_t total = w->mean_bias;
        for (int32_t i = 0; i < WINDOW_S8_COUNT; ++i) {
            total += requantize_s8_any(&w->output, sums[i], channel);
        }
        pixel[channel] = requantize_s8_any(&w->mean, total, 0);
    } else {
        for (int32_t i = 0; i < real; ++i) {
            pixel[channel + (i * w->out_channels)] = requantize_s8_any(&w->output, sums[i], channel);
        }
    }
}
