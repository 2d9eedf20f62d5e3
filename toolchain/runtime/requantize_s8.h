/* From an exact 32-bit accumulator to an 8-bit value: y = table[clamp(round(accumulator * ratio) + zero)].
 *
 * The ratio of scales is a real number; the generator has proved, for every accumulator that the layer can reach,
 * that the integers below give round-half-to-even of the exact product. */
#ifndef REQUANTIZE_S8_H
#define REQUANTIZE_S8_H

#include <stddef.h>
#include <stdint.h>

/* The one property of the compiler beyond C99: a negative integer shifts arithmetically. */
typedef char requantize_s8_needs_arithmetic_shift[((-3) >> 1 == -2) ? 1 : -1];

typedef enum {
    REQUANTIZE_HIGH,       /* upper word of a 64-bit product, one shift for all channels */
    REQUANTIZE_CHANNELS,   /* the same, with a shift for each channel */
    REQUANTIZE_WIDE,       /* all 64 bits: ratios of a quarter and more */
    REQUANTIZE_EVEN,       /* ties are reachable, and go to the even neighbour */
    REQUANTIZE_THRESHOLDS, /* the smallest accumulator of each value, searched */
    REQUANTIZE_ROUND       /* upper word of a 64-bit product, rounded: only for kernels with requantize_round_s8.h */
} requantize_kind;

typedef struct {
    requantize_kind kind;
    int32_t shift;               /* HIGH: product >> (33 + shift) is twice the result; WIDE, EVEN: product >> shift */
    int32_t zero;                /* zero point of the result */
    int32_t low;                 /* clamps */
    int32_t high;
    const int32_t *multipliers;  /* [channels]; THRESHOLDS: [channels][high - low] */
    const uint8_t *shifts;       /* CHANNELS: [channels] */
    const int8_t *table;         /* [256], indexed by value + 128; or NULL */
} requantize_s8;

static inline int32_t requantize_s8_search(const requantize_s8 *q, int32_t accumulator, int32_t channel)
{
    const int32_t levels = q->high - q->low;
    const int32_t *const thresholds = q->multipliers + (ptrdiff_t)channel * levels;
    int32_t first = 0;
    int32_t last = levels;
    while (first < last) {
        const int32_t middle = (first + last) / 2;
        if (thresholds[middle] <= accumulator) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return q->low + first - q->zero;
}

static inline int32_t requantize_s8_wide(const requantize_s8 *q, int32_t accumulator, int32_t channel)
{
    const int64_t product = (int64_t)accumulator * q->multipliers[channel];
    const int64_t half = (int64_t)1 << (q->shift - 1);
    int64_t rounded = (product + half) >> q->shift;
    if ((q->kind == REQUANTIZE_EVEN) && (((product + half) & ((half * 2) - 1)) == 0)) {
        rounded &= ~(int64_t)1;
    }
    if (rounded > q->high - q->zero) {
        rounded = q->high - q->zero;
    }
    if (rounded < q->low - q->zero) {
        rounded = q->low - q->zero;
    }
    return (int32_t)rounded;
}

static inline int8_t requantize_s8_value(const requantize_s8 *q, int32_t accumulator, int32_t channel)
{
    int32_t y;
    if (q->kind == REQUANTIZE_HIGH || q->kind == REQUANTIZE_CHANNELS) {
        const int32_t upper = (int32_t)(((int64_t)accumulator * q->multipliers[channel]) >> 32);
        const int32_t shift = (q->kind == REQUANTIZE_HIGH) ? q->shift : (int32_t)q->shifts[channel];
        y = ((upper >> shift) + 1) >> 1;
    } else if (q->kind == REQUANTIZE_THRESHOLDS) {
        y = requantize_s8_search(q, accumulator, channel);
    } else {
        y = requantize_s8_wide(q, accumulator, channel);
    }
    y += q->zero;
    if (y < q->low) {
        y = q->low;
    }
    if (y > q->high) {
        y = q->high;
    }
    if (q->table != NULL) {
        return q->table[y + 128];
    }
    return (int8_t)y;
}

#endif
