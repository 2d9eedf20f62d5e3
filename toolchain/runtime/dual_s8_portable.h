/* What dual_s8.h says, in C: included from there. */
#ifndef DUAL_S8_PORTABLE_H
#define DUAL_S8_PORTABLE_H

#include <stddef.h>

static inline int32_t dual_s8_word(const int16_t *values)
{
    return (int32_t)((uint32_t)(uint16_t)values[0] | ((uint32_t)(uint16_t)values[1] << 16));
}

static inline void dual_s8_widen(const int8_t *bytes, int16_t *values)
{
    for (int32_t i = 0; i < 4; ++i) {
        values[i] = bytes[i];
    }
}

/* The two halves of a word, as the instruction SMLAD takes them. */
static inline int32_t dual_s8_mac(int32_t x, int32_t weights, int32_t sum)
{
    const int32_t low = ((int32_t)((uint32_t)x << 16) >> 16) * ((int32_t)((uint32_t)weights << 16) >> 16);
    const int32_t high = (x >> 16) * (weights >> 16);
    return (int32_t)((uint32_t)sum + (uint32_t)low + (uint32_t)high);
}

/* The low byte of each half, with its sign, as SXTB16 takes them. */
static inline int32_t dual_s8_low_bytes(int32_t weights)
{
    const uint32_t low = (uint32_t)((int32_t)((uint32_t)weights << 24) >> 24) & 0xFFFFu;
    const uint32_t high = (uint32_t)((int32_t)((uint32_t)weights << 8) >> 24) << 16;
    return (int32_t)(low | high);
}

static inline const int32_t *dual_s8_four(
    const int32_t *patch, const int32_t *weights, int32_t words, int32_t pairs, dual_s8_sums *sums)
{
    for (int32_t pair = 0; pair < pairs; ++pair) {
        for (int32_t i = 0; i < DUAL_S8_WINDOWS; ++i) {
            int32_t first = weights[0];
            int32_t both = weights[1];
            for (int32_t w = 0; w < words; ++w) {
                const int32_t x = patch[(DUAL_S8_WINDOWS * w) + i];
                first = dual_s8_mac(x, dual_s8_low_bytes(weights[2 + w]), first);
                both = dual_s8_mac(x, weights[2 + w], both);
            }
            sums[pair].first[i] = first;
            sums[pair].second[i] = both;
        }
        weights += 2 + words;
    }
    return weights;
}

static inline const int32_t *dual_s8_square(
    const int32_t *patch, const int32_t *weights, int32_t words, int32_t pairs, dual_s8_sums *sums)
{
    for (int32_t pair = 0; pair < pairs; ++pair) {
        for (int32_t i = 0; i < DUAL_S8_WINDOWS; ++i) {
            int32_t first = weights[0];
            int32_t second = weights[1];
            for (int32_t w = 0; w < words; ++w) {
                const int32_t x = patch[(2 * w) + (i / 2)];
                const int32_t *const own = weights + 2 + (4 * w) + (2 * (i % 2));
                first = dual_s8_mac(x, own[0], first);
                second = dual_s8_mac(x, own[1], second);
            }
            sums[pair].first[i] = first;
            sums[pair].second[i] = second;
        }
        weights += 2 + (4 * words);
    }
    return weights;
}

static inline const int32_t *dual_s8_rows(
    const int16_t *x, const int32_t *weights, int32_t words, const int32_t *bias, int32_t *sums)
{
    for (int32_t i = 0; i < 4; i += 2) {
        int32_t first = bias[i];
        int32_t both = (int32_t)((uint32_t)bias[i] + ((uint32_t)bias[i + 1] << 8));
        for (int32_t w = 0; w < words; ++w) {
            const int32_t own = weights[(2 * w) + (i / 2)];
            const int32_t values = dual_s8_word(x + (2 * w));
            first = dual_s8_mac(values, dual_s8_low_bytes(own), first);
            both = dual_s8_mac(values, own, both);
        }
        sums[i] = first;
        sums[i + 1] = (int32_t)((uint32_t)both - (uint32_t)first) >> 8;
    }
    return weights + ((ptrdiff_t)2 * words);
}

#endif
