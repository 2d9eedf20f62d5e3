/* Softmax of each row of int8 values: see softmax_s8.h.
 *
 * A result is k or more where exp / sum > (k - 1/2) scale, that is, where
 * exp 2^(shift + 1) > (2 k - 1) mantissa sum. Both sides are computed in whole numbers: nothing is rounded. Both are
 * equal in no row but one of equal values, which is computed when the C is written. */
#include "softmax_s8.h"

#include <stddef.h>
#include <string.h>

#define SUM_WORDS (SOFTMAX_S8_WORDS + 1)  /* one before the point: a sum is below 2^17 */
#define SIDE_WORDS (SUM_WORDS + 2)        /* times 33 bits, or shifted by up to 64 */

/* number += the exponential of a difference; both with the highest word first. */
static void add_exponential(const softmax_s8_layer *l, int32_t difference, uint32_t number[SUM_WORDS])
{
    if (difference == 0) {
        number[0] += 1u;
        return;
    }
    const uint32_t *const power = l->exponentials + ((difference - 1) * SOFTMAX_S8_WORDS);
    uint64_t carry = 0;
    for (int32_t i = SOFTMAX_S8_WORDS; i > 0; --i) {
        carry += (uint64_t)number[i] + power[i - 1];
        number[i] = (uint32_t)carry;
        carry >>= 32;
    }
    number[0] += (uint32_t)carry;
}

/* number *= factor. */
static void multiply(uint32_t number[SIDE_WORDS], uint32_t factor)
{
    uint64_t carry = 0;
    for (int32_t i = SIDE_WORDS - 1; i >= 0; --i) {
        carry += (uint64_t)number[i] * factor;
        number[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* out = number times 2^bits, for bits up to 64. */
static void shifted(const uint32_t number[SUM_WORDS], int32_t bits, uint32_t out[SIDE_WORDS])
{
    const int32_t words = bits / 32;
    const int32_t rest = bits % 32;
    memset(out, 0, SIDE_WORDS * sizeof *out);
    for (int32_t i = 0; i < SUM_WORDS; ++i) {
        const uint64_t wide = (uint64_t)number[i] << rest;
        const int32_t place = i + 2 - words;
        out[place] |= (uint32_t)wide;
        if (place > 0) {
            out[place - 1] |= (uint32_t)(wide >> 32);
        }
    }
}

/* Whether a is larger. If all digits agree, it is not: b holds the sum, of which digits were cut off. */
static int above(const uint32_t a[SIDE_WORDS], const uint32_t b[SIDE_WORDS])
{
    int32_t i = 0;
    while (i < SIDE_WORDS - 1 && a[i] == b[i]) {
        ++i;
    }
    return a[i] > b[i];
}

/* The largest result that an exponential reaches, by halving what is left of low..high. */
static int8_t quotient(const softmax_s8_layer *l, int32_t difference, const uint32_t sum[SUM_WORDS])
{
    uint32_t own[SUM_WORDS] = {0};
    uint32_t left[SIDE_WORDS];
    uint32_t right[SIDE_WORDS];
    int32_t least = (l->low > l->zero) ? l->low : l->zero; /* a quotient is not negative */
    int32_t most = l->high;
    add_exponential(l, difference, own);
    shifted(own, l->shift + 1, left);
    while (least < most) {
        const int32_t middle = least + ((most - least + 1) / 2);
        memset(right, 0, sizeof right);
        memcpy(right + (SIDE_WORDS - SUM_WORDS), sum, SUM_WORDS * sizeof *sum);
        multiply(right, (2u * (uint32_t)(middle - l->zero)) - 1u);
        multiply(right, l->mantissa);
        if (above(left, right)) {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    return (int8_t)((least < l->high) ? least : l->high);
}

static void row(const softmax_s8_layer *l, const int8_t *in, int8_t *out)
{
    uint32_t sum[SUM_WORDS] = {0};
    int32_t largest = in[0];
    int32_t equal = 1;
    for (int32_t i = 1; i < l->columns; ++i) {
        equal = (in[i] == in[0]) ? equal : 0;
        largest = (in[i] > largest) ? in[i] : largest;
    }
    if (equal != 0) {
        memset(out, l->uniform, (size_t)l->columns);
        return;
    }
    for (int32_t i = 0; i < l->columns; ++i) {
        add_exponential(l, largest - in[i], sum);
    }
    for (int32_t i = 0; i < l->columns; ++i) {
        out[i] = quotient(l, largest - in[i], sum);
    }
}

void softmax_s8(const softmax_s8_layer *layer, const int8_t *in, int8_t *out)
{
    for (int32_t i = 0; i < layer->rows; ++i) {
        row(layer, in + ((ptrdiff_t)i * layer->columns), out + ((ptrdiff_t)i * layer->columns));
    }
}
