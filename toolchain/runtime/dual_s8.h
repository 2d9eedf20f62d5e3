/* Sums of products of 16-bit values, two to a word: the inner loops of convdual_s8, convstem_s8 and gemmdual_s8.
 * dual_s8_portable.h is what they mean, in C; dual_s8_dsp.h is the same for cores that multiply two values at once.
 *
 * Two output channels share weights of 16 bits, low + 256 high. With S the sum over x * low and T the sum over
 * x * (low + 256 high), modulo 2^32, the second channel's sum is (T - S) / 256: exact, as long as it stays within 24
 * bits, which the generator has proved for every input. So each byte of weights is loaded once, and unpacked by one
 * instruction. */
#ifndef DUAL_S8_H
#define DUAL_S8_H

#include <stdint.h>

enum { DUAL_S8_WINDOWS = 4 }; /* computed together */

/* The sums of four windows: of a pair's first channel, and of its second or, where two channels share weights, T. */
typedef struct {
    int32_t first[DUAL_S8_WINDOWS];
    int32_t second[DUAL_S8_WINDOWS];
} dual_s8_sums;

#if defined(__ARM_FEATURE_DSP)
#include "dual_s8_dsp.h"
#else
#include "dual_s8_portable.h"
#endif

/* Three functions, and two helpers:
 *
 * dual_s8_four(patch, weights, words, pairs, sums): four windows against pairs of channels that share weights.
 *   patch:   [words][4], two values of each window
 *   weights: [pairs][2 + words]: where S and T begin, then two taps a word; returned as the place behind them
 *
 * dual_s8_square(patch, weights, words, pairs, sums): two neighbouring windows of two rows against plain 16-bit
 * weights of two channels.
 *   patch:   [words][2], two values that both windows touch, in either row
 *   weights: [pairs][2 + words * 4]: where both sums begin, then the left window's first and second channel, the right
 *            window's first and second; returned as the place behind them
 *   sums:    left and right of the first row, left and right of the second
 *
 * dual_s8_rows(x, weights, words, bias, sums): one vector against four outputs, which share weights in twos.
 *   x:       [2 * words], of alignment 4
 *   words:   a multiple of 8
 *   weights: [words][2], of the first two outputs, of the last two; returned as the place behind them
 *   bias, sums: [4]
 *
 * dual_s8_word(values): two values as a word, the first one low.
 * dual_s8_widen(bytes, values): four bytes to four values. */

/* T - S: 256 times the second channel's sum. */
static inline int32_t dual_s8_difference(int32_t both, int32_t first)
{
    return (int32_t)((uint32_t)both - (uint32_t)first);
}

#endif
