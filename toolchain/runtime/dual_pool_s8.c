/* From sums to 8 bits: see dual_pool_s8.h. */
#include "dual_pool_s8.h"

static int8_t pooled(const dual_pool_s8 *p, const int32_t *sums, int32_t channel)
{
    if (p->pool == DUAL_POOL_S8_MAX) {
        return requantize_s8_any(&p->output, dual_pool_s8_largest(sums[0], sums[1], sums[2], sums[3]), channel);
    }
    int32_t total = p->mean_bias;
    for (int32_t i = 0; i < DUAL_S8_WINDOWS; ++i) {
        total += requantize_s8_any(&p->output, sums[i], channel);
    }
    return requantize_s8_any(&p->mean, total, 0);
}

void dual_pool_s8_finish(const dual_pool_s8 *p, dual_s8_sums *sums, int32_t windows, int32_t first, int32_t count,
                         int32_t pitch, int8_t *pixel)
{
    if (p->shared) {
        for (dual_s8_sums *pair = sums; pair < sums + ((count + 1) / 2); ++pair) {
            for (int32_t i = 0; i < DUAL_S8_WINDOWS; ++i) {
                pair->second[i] = dual_s8_difference(pair->second[i], pair->first[i]) >> 8;
            }
        }
    }
    for (int32_t c = 0; c < count; ++c) {
        const int32_t *const own = (c % 2 == 0) ? sums[c / 2].first : sums[c / 2].second;
        if (p->pool != DUAL_POOL_S8_NONE) {
            pixel[first + c] = pooled(p, own, first + c);
            continue;
        }
        for (int32_t i = 0; i < windows; ++i) {
            pixel[first + c + (i * pitch)] = requantize_s8_any(&p->output, own[i], first + c);
        }
    }
}
