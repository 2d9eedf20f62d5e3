/* Four windows of an int8 map at a time, copied side by side so that inner loops need not know where they lie; and what
 * becomes of their sums. For convpatch_s8 and convvector_s8. */
#ifndef WINDOW_S8_H
#define WINDOW_S8_H

#include "requantize_round_s8.h"

enum { WINDOW_S8_COUNT = 4 };

typedef enum { WINDOW_S8_NO_POOL, WINDOW_S8_MAX_POOL, WINDOW_S8_AVERAGE_POOL } window_s8_pool;

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels; /* behind the pool */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t padding; /* what lies outside the map: the input's zero point */
    window_s8_pool pool;
    int32_t pool_height, pool_width; /* of a pool that takes four windows; 1 without one */
    requantize_s8 output;            /* of each convolution output */
    requantize_s8 mean;              /* of the sum over an average pool; one channel, with mean_bias added to the sum */
    int32_t mean_bias;
} window_s8;

/* Where a tap lies: bytes from the map's start, or -1 outside of it. */
static inline int32_t window_s8_tap(const window_s8 *w, int32_t y, int32_t x)
{
    const int held = y >= 0 && y < w->in_height && x >= 0 && x < w->in_width;
    return held ? ((y * w->in_width) + x) * w->in_channels : -1;
}

/* How many of four windows from output (oy, ox) on are real: those of a pool, or neighbours in a row. */
static inline int32_t window_s8_real(const window_s8 *w, int32_t ox)
{
    const int32_t left = w->out_width - ox;
    return (w->pool != WINDOW_S8_NO_POOL || left > WINDOW_S8_COUNT) ? WINDOW_S8_COUNT : left;
}

/* The first tap of window `index` of output (oy, ox): row and column. One that is not real is the last real one. */
static inline void window_s8_corner(const window_s8 *w, int32_t oy, int32_t ox, int32_t index, int32_t *y, int32_t *x)
{
    int32_t row = 0;
    int32_t column = index;
    if (w->pool != WINDOW_S8_NO_POOL) {
        while (column >= w->pool_width) {
            column -= w->pool_width;
            ++row;
        }
    } else if (ox + column >= w->out_width) {
        column = w->out_width - 1 - ox;
    }
    *y = (((oy * w->pool_height) + row) * w->stride_y) - w->pad_top;
    *x = (((ox * w->pool_width) + column) * w->stride_x) - w->pad_left;
}

/* One channel of the output: from the windows' sums to the pool's value, or to `real` neighbours. */
void window_s8_finish(const window_s8 *w, const int32_t *sums, int32_t real, int32_t channel, int8_t *pixel);

#endif
