/* What scalar_f32.h says, for Cortex-M with an FPU: included from there.
 *
 * VLDM loads the weights of a tap with one instruction, but wants them in registers that follow one another, which a
 * compiler does not arrange. So every register of the FPU has a fixed use here: sums from S0 on, then weights, then
 * inputs. */
#ifndef SCALAR_F32_FPU_H
#define SCALAR_F32_FPU_H

#define SCALAR_F32_FMA(sum, x, weight) "vfma.f32 s" #sum ", s" #x ", s" #weight "\n\t"
/* An input against four weights, each with a sum of its own. */
#define SCALAR_F32_FOUR_SUMS(s0, s1, s2, s3, x, w0, w1, w2, w3) \
    SCALAR_F32_FMA(s0, x, w0) SCALAR_F32_FMA(s1, x, w1) SCALAR_F32_FMA(s2, x, w2) SCALAR_F32_FMA(s3, x, w3)
/* The loops around the taps of four windows; `tap` is what one does. */
#define SCALAR_F32_RUNS(tap)                          \
    "1:\n\t"                                          \
    "mov %[left], %[run]\n"                           \
    "2:\n\t"                                          \
    "subs %[left], #1\n\t" tap                        \
    "bne 2b\n\t"                                      \
    "ldr %[left], [%[jumps]], #4\n\t"                 \
    "subs %[runs], #1\n\t"                            \
    "add %[x0], %[x0], %[left], lsl #2\n\t"           \
    "add %[x1], %[x1], %[left], lsl #2\n\t"           \
    "add %[x2], %[x2], %[left], lsl #2\n\t"           \
    "add %[x3], %[x3], %[left], lsl #2\n\t"           \
    "bne 1b\n\t"
#define SCALAR_F32_POINTERS                                                                                     \
    [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [weights] "+r"(weights), [jumps] "+r"(jumps), \
        [runs] "+r"(runs), [left] "=&r"(left)

static inline const float *scalar_f32_six(const scalar_f32_windows *w, const float *weights, float *sums)
{
    const float *x0 = w->start[0];
    const float *x1 = w->start[1];
    const float *x2 = w->start[2];
    const float *x3 = w->start[3];
    const int32_t *jumps = w->jumps;
    int32_t runs = w->runs;
    int32_t left;
#define SCALAR_F32_BEGIN(s0, s1, s2, s3, weight)                                            \
    "vmov.f32 s" #s0 ", s" #weight "\n\tvmov.f32 s" #s1 ", s" #weight "\n\tvmov.f32 s" #s2 \
    ", s" #weight "\n\tvmov.f32 s" #s3 ", s" #weight "\n\t"
#define SCALAR_F32_SIX_SUMS(s0, s1, s2, s3, s4, s5, x)                 \
    SCALAR_F32_FOUR_SUMS(s0, s1, s2, s3, x, 24, 25, 26, 27)            \
    SCALAR_F32_FMA(s4, x, 28) SCALAR_F32_FMA(s5, x, 29)
    __asm__ volatile(
        "vldmia %[weights]!, {s24-s29}\n\t"
        SCALAR_F32_BEGIN(0, 1, 2, 3, 24)
        SCALAR_F32_BEGIN(4, 5, 6, 7, 25)
        SCALAR_F32_BEGIN(8, 9, 10, 11, 26)
        SCALAR_F32_BEGIN(12, 13, 14, 15, 27)
        SCALAR_F32_BEGIN(16, 17, 18, 19, 28)
        SCALAR_F32_BEGIN(20, 21, 22, 23, 29)
        SCALAR_F32_RUNS(
            "vldmia %[x0]!, {s30}\n\t"
            "vldmia %[weights]!, {s24-s29}\n\t"
            "vldmia %[x1]!, {s31}\n\t"
            SCALAR_F32_SIX_SUMS(0, 4, 8, 12, 16, 20, 30)
            "vldmia %[x2]!, {s30}\n\t"
            SCALAR_F32_SIX_SUMS(1, 5, 9, 13, 17, 21, 31)
            "vldmia %[x3]!, {s31}\n\t"
            SCALAR_F32_SIX_SUMS(2, 6, 10, 14, 18, 22, 30)
            SCALAR_F32_SIX_SUMS(3, 7, 11, 15, 19, 23, 31))
        "vstmia %[sums], {s0-s23}"
        : SCALAR_F32_POINTERS
        : [run] "r"(w->run), [sums] "r"(sums)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",
          "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30",
          "s31");
#undef SCALAR_F32_SIX_SUMS
    return weights;
}

static inline const float *scalar_f32_four(const scalar_f32_windows *w, const float *weights, float *sums)
{
    const float *x0 = w->start[0];
    const float *x1 = w->start[1];
    const float *x2 = w->start[2];
    const float *x3 = w->start[3];
    const int32_t *jumps = w->jumps;
    int32_t runs = w->runs;
    int32_t left;
    __asm__ volatile(
        "vldmia %[weights]!, {s16-s19}\n\t"
        SCALAR_F32_BEGIN(0, 1, 2, 3, 16)
        SCALAR_F32_BEGIN(4, 5, 6, 7, 17)
        SCALAR_F32_BEGIN(8, 9, 10, 11, 18)
        SCALAR_F32_BEGIN(12, 13, 14, 15, 19)
        SCALAR_F32_RUNS(
            "vldmia %[x0]!, {s20}\n\t"
            "vldmia %[weights]!, {s16-s19}\n\t"
            "vldmia %[x1]!, {s21}\n\t"
            SCALAR_F32_FOUR_SUMS(0, 4, 8, 12, 20, 16, 17, 18, 19)
            "vldmia %[x2]!, {s20}\n\t"
            SCALAR_F32_FOUR_SUMS(1, 5, 9, 13, 21, 16, 17, 18, 19)
            "vldmia %[x3]!, {s21}\n\t"
            SCALAR_F32_FOUR_SUMS(2, 6, 10, 14, 20, 16, 17, 18, 19)
            SCALAR_F32_FOUR_SUMS(3, 7, 11, 15, 21, 16, 17, 18, 19))
        "vstmia %[sums], {s0-s15}"
        : SCALAR_F32_POINTERS
        : [run] "r"(w->run), [sums] "r"(sums)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",
          "s15", "s16", "s17", "s18", "s19", "s20", "s21");
    return weights;
}

static inline const float *scalar_f32_one(const scalar_f32_windows *w, const float *weights, float *sums)
{
    const float *x0 = w->start[0];
    const float *x1 = w->start[1];
    const float *x2 = w->start[2];
    const float *x3 = w->start[3];
    const int32_t *jumps = w->jumps;
    int32_t runs = w->runs;
    int32_t left;
    __asm__ volatile(
        "vldmia %[weights]!, {s4}\n\t"
        SCALAR_F32_BEGIN(0, 1, 2, 3, 4)
        SCALAR_F32_RUNS(
            "vldmia %[weights]!, {s4}\n\t"
            "vldmia %[x0]!, {s5}\n\t"
            "vldmia %[x1]!, {s6}\n\t"
            "vldmia %[x2]!, {s7}\n\t"
            "vldmia %[x3]!, {s8}\n\t"
            SCALAR_F32_FMA(0, 5, 4)
            SCALAR_F32_FMA(1, 6, 4)
            SCALAR_F32_FMA(2, 7, 4)
            SCALAR_F32_FMA(3, 8, 4))
        "vstmia %[sums], {s0-s3}"
        : SCALAR_F32_POINTERS
        : [run] "r"(w->run), [sums] "r"(sums)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8");
#undef SCALAR_F32_BEGIN
    return weights;
}

#define SCALAR_F32_VECTOR [x] "+r"(x), [weights] "+r"(weights), [fours] "+r"(fours), [rest] "+r"(rest)
/* The loops over the taps of a vector: `four` of them, then one by one. */
#define SCALAR_F32_TAPS(four, one) \
    "cmp %[fours], #0\n\t"         \
    "beq 2f\n"                     \
    "1:\n\t"                       \
    "subs %[fours], #1\n\t"        \
    "vldmia %[x]!, {s12-s15}\n\t" four \
    "bne 1b\n"                     \
    "2:\n\t"                       \
    "cmp %[rest], #0\n\t"          \
    "beq 4f\n"                     \
    "3:\n\t"                       \
    "subs %[rest], #1\n\t"         \
    "vldmia %[x]!, {s12}\n\t" one  \
    "bne 3b\n"                     \
    "4:\n\t"

static inline const float *scalar_f32_dozen(const float *x, int32_t taps, const float *weights, float *sums)
{
    int32_t fours = taps / 4;
    int32_t rest = taps % 4;
#define SCALAR_F32_TAP(input)                                    \
    "vldmia %[weights]!, {s16-s27}\n\t"                          \
    SCALAR_F32_FOUR_SUMS(0, 1, 2, 3, input, 16, 17, 18, 19)      \
    SCALAR_F32_FOUR_SUMS(4, 5, 6, 7, input, 20, 21, 22, 23)      \
    SCALAR_F32_FOUR_SUMS(8, 9, 10, 11, input, 24, 25, 26, 27)
    __asm__ volatile(
        "vldmia %[weights]!, {s0-s11}\n\t"
        SCALAR_F32_TAPS(SCALAR_F32_TAP(12) SCALAR_F32_TAP(13) SCALAR_F32_TAP(14) SCALAR_F32_TAP(15), SCALAR_F32_TAP(12))
        "vstmia %[sums], {s0-s11}"
        : SCALAR_F32_VECTOR
        : [sums] "r"(sums)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",
          "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27");
#undef SCALAR_F32_TAP
    return weights;
}

static inline const float *scalar_f32_quartet(const float *x, int32_t taps, const float *weights, float *sums)
{
    int32_t fours = taps / 4;
    int32_t rest = taps % 4;
    __asm__ volatile(
        "vldmia %[weights]!, {s0-s3}\n\t"
        SCALAR_F32_TAPS(
            "vldmia %[weights]!, {s16-s31}\n\t"
            SCALAR_F32_FOUR_SUMS(0, 1, 2, 3, 12, 16, 17, 18, 19)
            SCALAR_F32_FOUR_SUMS(0, 1, 2, 3, 13, 20, 21, 22, 23)
            SCALAR_F32_FOUR_SUMS(0, 1, 2, 3, 14, 24, 25, 26, 27)
            SCALAR_F32_FOUR_SUMS(0, 1, 2, 3, 15, 28, 29, 30, 31),
            "vldmia %[weights]!, {s16-s19}\n\t"
            SCALAR_F32_FOUR_SUMS(0, 1, 2, 3, 12, 16, 17, 18, 19))
        "vstmia %[sums], {s0-s3}"
        : SCALAR_F32_VECTOR
        : [sums] "r"(sums)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
          "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31");
    return weights;
}

#undef SCALAR_F32_TAPS
#undef SCALAR_F32_VECTOR
#undef SCALAR_F32_POINTERS
#undef SCALAR_F32_RUNS
#undef SCALAR_F32_FOUR_SUMS
#undef SCALAR_F32_FMA

#endif
