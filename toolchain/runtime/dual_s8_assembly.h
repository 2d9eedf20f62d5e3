/* The loops of dual_s8_dsp.h for gcc: included from there.
 *
 * All fourteen registers hold sums, values, weights and the two pointers; everything else is in memory. A loop is
 * unrolled, every word of weights is as many bytes of code, and the first turn begins as far before the loop's end as
 * makes the number of words come out. */
#ifndef DUAL_S8_ASSEMBLY_H
#define DUAL_S8_ASSEMBLY_H

enum { DUAL_S8_TURN = 16, DUAL_S8_FOUR_CODE = 48, DUAL_S8_SQUARE_CODE = 44 }; /* words of a turn, bytes of a word */

/* What the loop over pairs keeps in memory. */
typedef struct {
    const int32_t *patch;
    const int32_t *end; /* of the patch */
    uint32_t first;     /* bytes of code that the first turn takes; then the place where it begins */
    dual_s8_sums *sums;
    dual_s8_sums *last;
} dual_s8_state;

/* Bytes of code for the words beyond whole turns, at least one word. */
static inline uint32_t dual_s8_first_turn(int32_t words, uint32_t code)
{
    return ((((uint32_t)words - 1) % DUAL_S8_TURN) + 1) * code;
}

#define DUAL_S8_REPEAT_4(text) text text text text
#define DUAL_S8_UNROLLED(word) DUAL_S8_REPEAT_4(DUAL_S8_REPEAT_4(word))
/* The alignment: ADR counts from a multiple of four, and a section may begin at any even place. */
#define DUAL_S8_BEGIN                         \
    ".p2align 2\n\t"                          \
    "adr.w %[x0], 3f\n\t"                     \
    "ldr %[x1], %[first]\n\t"                 \
    "subs %[x0], %[x0], %[x1]\n\t"            \
    "adds %[x0], %[x0], #1\n\t"               \
    "str %[x0], %[first]\n"                   \
    "1:\n\t"                                  \
    "ldr %[x0], %[first]\n\t"                 \
    "ldr %[patch], %[start]\n\t"              \
    "ldrd %[s0], %[t0], [%[weights]], #8\n\t" \
    "mov %[s1], %[s0]\n\t"                    \
    "mov %[s2], %[s0]\n\t"                    \
    "mov %[s3], %[s0]\n\t"                    \
    "mov %[t1], %[t0]\n\t"                    \
    "mov %[t2], %[t0]\n\t"                    \
    "mov %[t3], %[t0]\n\t"                    \
    "bx %[x0]\n"                              \
    "2:\n\t"
#define DUAL_S8_END                       \
    "\n3:\n\t"                            \
    "ldr %[x0], %[end]\n\t"               \
    "cmp %[patch], %[x0]\n\t"             \
    "bne.w 2b\n\t"                        \
    "ldr %[x0], %[sums]\n\t"              \
    "ldr %[x1], %[last]\n\t"              \
    "strd %[s0], %[s1], [%[x0]], #8\n\t"  \
    "strd %[s2], %[s3], [%[x0]], #8\n\t"  \
    "strd %[t0], %[t1], [%[x0]], #8\n\t"  \
    "strd %[t2], %[t3], [%[x0]], #8\n\t"  \
    "str %[x0], %[sums]\n\t"              \
    "cmp %[x0], %[x1]\n\t"                \
    "bne.w 1b"
#define DUAL_S8_SUMS                                                                                         \
    [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), \
        [t3] "=&r"(t3)
#define DUAL_S8_STATE [start] "m"(state.patch), [end] "m"(state.end), [last] "m"(state.last)

static inline const int32_t *dual_s8_four(
    const int32_t *patch, const int32_t *weights, int32_t words, int32_t pairs, dual_s8_sums *sums)
{
    const uint32_t first = dual_s8_first_turn(words, DUAL_S8_FOUR_CODE);
    dual_s8_state state = {patch, patch + (4 * words), first, sums, sums + pairs};
    int32_t s0, s1, s2, s3, t0, t1, t2, t3, x0, x1, both, low;
#define DUAL_S8_WORD                            \
    "ldr %[both], [%[weights]], #4\n\t"         \
    "ldrd %[x0], %[x1], [%[patch]], #8\n\t"     \
    "sxtb16 %[low], %[both]\n\t"              \
    "smlad %[t0], %[x0], %[both], %[t0]\n\t"    \
    "smlad %[s0], %[x0], %[low], %[s0]\n\t"     \
    "smlad %[t1], %[x1], %[both], %[t1]\n\t"    \
    "smlad %[s1], %[x1], %[low], %[s1]\n\t"     \
    "ldrd %[x0], %[x1], [%[patch]], #8\n\t"     \
    "smlad %[t2], %[x0], %[both], %[t2]\n\t"    \
    "smlad %[s2], %[x0], %[low], %[s2]\n\t"     \
    "smlad %[t3], %[x1], %[both], %[t3]\n\t"    \
    "smlad %[s3], %[x1], %[low], %[s3]\n\t"
    __asm__ volatile(DUAL_S8_BEGIN DUAL_S8_UNROLLED(DUAL_S8_WORD) DUAL_S8_END
                     : DUAL_S8_SUMS, [weights] "+r"(weights), [patch] "=&r"(patch), [x0] "=&r"(x0), [x1] "=&r"(x1),
                       [both] "=&r"(both), [low] "=&r"(low), [first] "+m"(state.first),
                       [sums] "+m"(state.sums)
                     : DUAL_S8_STATE
                     : "cc", "memory");
#undef DUAL_S8_WORD
    return weights;
}

static inline const int32_t *dual_s8_square(
    const int32_t *patch, const int32_t *weights, int32_t words, int32_t pairs, dual_s8_sums *sums)
{
    const uint32_t first = dual_s8_first_turn(words, DUAL_S8_SQUARE_CODE);
    dual_s8_state state = {patch, patch + (2 * words), first, sums, sums + pairs};
    int32_t s0, s1, s2, s3, t0, t1, t2, t3, x0, x1, w0, w1;
#define DUAL_S8_WORD                           \
    "ldrd %[x0], %[x1], [%[patch]], #8\n\t"    \
    "ldrd %[w0], %[w1], [%[weights]], #8\n\t"  \
    "smlad %[s0], %[x0], %[w0], %[s0]\n\t"     \
    "smlad %[t0], %[x0], %[w1], %[t0]\n\t"     \
    "smlad %[s2], %[x1], %[w0], %[s2]\n\t"     \
    "smlad %[t2], %[x1], %[w1], %[t2]\n\t"     \
    "ldrd %[w0], %[w1], [%[weights]], #8\n\t"  \
    "smlad %[s1], %[x0], %[w0], %[s1]\n\t"     \
    "smlad %[t1], %[x0], %[w1], %[t1]\n\t"     \
    "smlad %[s3], %[x1], %[w0], %[s3]\n\t"     \
    "smlad %[t3], %[x1], %[w1], %[t3]\n\t"
    __asm__ volatile(DUAL_S8_BEGIN DUAL_S8_UNROLLED(DUAL_S8_WORD) DUAL_S8_END
                     : DUAL_S8_SUMS, [weights] "+r"(weights), [patch] "=&r"(patch), [x0] "=&r"(x0), [x1] "=&r"(x1),
                       [w0] "=&r"(w0), [w1] "=&r"(w1), [first] "+m"(state.first),
                       [sums] "+m"(state.sums)
                     : DUAL_S8_STATE
                     : "cc", "memory");
#undef DUAL_S8_WORD
    return weights;
}

/* A function of its own: of the registers that LDM names, the caller could want some. */
__attribute__((noinline, unused)) static const int32_t *dual_s8_rows(
    const int16_t *x, const int32_t *weights, int32_t words, const int32_t *bias, int32_t *sums)
{
    const int32_t *const end = weights + (2 * words);
    int32_t s0 = bias[0];
    int32_t s1 = bias[2];
    int32_t t0 = (int32_t)((uint32_t)s0 + ((uint32_t)bias[1] << 8));
    int32_t t1 = (int32_t)((uint32_t)s1 + ((uint32_t)bias[3] << 8));
    int32_t x0, x1, low;
#define DUAL_S8_TWO_WORDS                      \
    "ldmia %[weights]!, {r4, r5, r6, r8}\n\t"  \
    "ldrd %[x0], %[x1], [%[x]], #8\n\t"        \
    "smlad %[t0], %[x0], r4, %[t0]\n\t"        \
    "sxtb16 %[low], r4\n\t"                    \
    "smlad %[s0], %[x0], %[low], %[s0]\n\t"    \
    "smlad %[t1], %[x0], r5, %[t1]\n\t"        \
    "sxtb16 %[low], r5\n\t"                    \
    "smlad %[s1], %[x0], %[low], %[s1]\n\t"    \
    "smlad %[t0], %[x1], r6, %[t0]\n\t"        \
    "sxtb16 %[low], r6\n\t"                    \
    "smlad %[s0], %[x1], %[low], %[s0]\n\t"    \
    "smlad %[t1], %[x1], r8, %[t1]\n\t"        \
    "sxtb16 %[low], r8\n\t"                    \
    "smlad %[s1], %[x1], %[low], %[s1]\n\t"
    __asm__ volatile("1:\n\t" DUAL_S8_REPEAT_4(DUAL_S8_TWO_WORDS) "ldr %[low], %[end]\n\t"
                     "cmp %[weights], %[low]\n\t"
                     "bne 1b"
                     : [s0] "+r"(s0), [s1] "+r"(s1), [t0] "+r"(t0), [t1] "+r"(t1), [x] "+r"(x),
                       [weights] "+r"(weights), [x0] "=&r"(x0), [x1] "=&r"(x1), [low] "=&r"(low)
                     : [end] "m"(end)
                     : "r4", "r5", "r6", "r8", "cc", "memory");
#undef DUAL_S8_TWO_WORDS
    sums[0] = s0;
    sums[1] = (int32_t)((uint32_t)t0 - (uint32_t)s0) >> 8;
    sums[2] = s1;
    sums[3] = (int32_t)((uint32_t)t1 - (uint32_t)s1) >> 8;
    return weights;
}

#endif
