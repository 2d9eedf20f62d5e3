/* From the sums of four windows to 8 bits: the end of convdual_s8 and convstem_s8. */
#ifndef DUAL_POOL_S8_H
#define DUAL_POOL_S8_H

#include "dual_s8.h"
#include "requantize_round_s8.h"

enum { DUAL_POOL_S8_PAIRS = 8 }; /* of channels, whose sums are collected before they are rounded */

typedef enum { DUAL_POOL_S8_NONE, DUAL_POOL_S8_MAX, DUAL_POOL_S8_AVERAGE } dual_pool_s8_kind;

typedef struct {
    dual_pool_s8_kind pool;
    int32_t height, width; /* of the pool, which takes four windows; 1 without one */
    int32_t shared;        /* whether the channels of a pair share weights */
    requantize_s8 output;  /* of each window */
    requantize_s8 mean;    /* of the sum over an average pool; one channel, with mean_bias added to the sum */
    int32_t mean_bias;
} dual_pool_s8;

/* Channels `first` to first + count - 1 of `windows` pixels, `pitch` bytes apart, or of the pool's one.
 * sums: [(count + 1) / 2] */
void dual_pool_s8_finish(const dual_pool_s8 *p, dual_s8_sums *sums, int32_t windows, int32_t first, int32_t count,
                         int32_t pitch, int8_t *pixel);

/* Whether dual_pool_s8_maxima does the same. */
static inline int dual_pool_s8_usual(const dual_pool_s8 *p)
{
    return p->pool == DUAL_POOL_S8_MAX && requantize_s8_plain(&p->output);
}

static inline int32_t dual_pool_s8_largest(int32_t a, int32_t b, int32_t c, int32_t d)
{
    const int32_t left = (a > b) ? a : b;
    const int32_t right = (c > d) ? c : d;
    return (left > right) ? left : right;
}

/* The usual case: maxima of the sums, for the output rises with them; rounded by one product, over all 8 bits.
 * shared: p->shared, a constant of the caller's */
static inline void dual_pool_s8_maxima(
    const dual_pool_s8 *p, const dual_s8_sums *sums, int32_t shared, int32_t first, int32_t count, int8_t *pixel)
{
    const int32_t *multiplier = p->output.multipliers + first;
    const int32_t zero = p->output.zero;
    int8_t *out = pixel + first;
    for (;;) {
        const int32_t *const s = sums->first;
        const int32_t *const t = sums->second;
        const int32_t most = dual_pool_s8_largest(s[0], s[1], s[2], s[3]);
        out[0] = requantize_s8_saturated(requantize_s8_rounded(most, multiplier[0]) + zero);
        if (count < 2) {
            break;
        }
        const int32_t second =
            shared ? dual_pool_s8_largest(dual_s8_difference(t[0], s[0]), dual_s8_difference(t[1], s[1]),
                                          dual_s8_difference(t[2], s[2]), dual_s8_difference(t[3], s[3])) >> 8
                   : dual_pool_s8_largest(t[0], t[1], t[2], t[3]);
        out[1] = requantize_s8_saturated(requantize_s8_rounded(second, multiplier[1]) + zero);
        count -= 2;
        if (count == 0) {
            break;
        }
        multiplier += 2;
        out += 2;
        ++sums;
    }
}

#endif
