/* The instructions of AVX-512F for floats that kernels use, in C by their definitions in Intel's Software Developer's
 * Manual, volume 2. Included by immintrin.h of this folder. */
#ifndef EMULATED_AVX512_F32_H
#define EMULATED_AVX512_F32_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float lane[16];
} emulated_512_f32;

#define EMULATED_512_F32(name, expression)                                            \
    static inline emulated_512_f32 name(emulated_512_f32 a, emulated_512_f32 b)       \
    {                                                                                 \
        for (int i = 0; i < 16; ++i) {                                                \
            a.lane[i] = (expression);                                                 \
        }                                                                             \
        return a;                                                                     \
    }

EMULATED_512_F32(emulated_add_ps, a.lane[i] + b.lane[i])
EMULATED_512_F32(emulated_sub_ps, a.lane[i] - b.lane[i])
EMULATED_512_F32(emulated_mul_ps, a.lane[i] * b.lane[i])
EMULATED_512_F32(emulated_div_ps, a.lane[i] / b.lane[i])
/* The second where they do not compare. */
EMULATED_512_F32(emulated_max_ps, (a.lane[i] > b.lane[i]) ? a.lane[i] : b.lane[i])
EMULATED_512_F32(emulated_min_ps, (a.lane[i] < b.lane[i]) ? a.lane[i] : b.lane[i])

static inline emulated_512_f32 emulated_loadu_ps(const float *from)
{
    emulated_512_f32 made;
    memcpy(&made, from, sizeof made);
    return made;
}

static inline void emulated_storeu_ps(float *to, emulated_512_f32 x)
{
    memcpy(to, &x, sizeof x);
}

static inline emulated_512_f32 emulated_set1_ps(float x)
{
    emulated_512_f32 made;
    for (int i = 0; i < 16; ++i) {
        made.lane[i] = x;
    }
    return made;
}

static inline emulated_512_f32 emulated_fmadd_ps(emulated_512_f32 a, emulated_512_f32 b, emulated_512_f32 c)
{
    for (int i = 0; i < 16; ++i) {
        a.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    }
    return a;
}

static inline emulated_512_f32 emulated_sqrt_ps(emulated_512_f32 x)
{
    for (int i = 0; i < 16; ++i) {
        x.lane[i] = sqrtf(x.lane[i]);
    }
    return x;
}

/* Two of the predicates: less, and unequal or unordered. */
static inline uint16_t emulated_cmp_ps_mask(emulated_512_f32 a, emulated_512_f32 b, int predicate)
{
    unsigned mask = 0;
    for (int i = 0; i < 16; ++i) {
        const int less = a.lane[i] < b.lane[i];
        const int unequal = !(a.lane[i] == b.lane[i]);
        mask |= (unsigned)((predicate == _CMP_LT_OQ) ? less : unequal) << i;
    }
    return (uint16_t)mask;
}

static inline emulated_512_f32 emulated_mask_blend_ps(uint16_t mask, emulated_512_f32 no, emulated_512_f32 yes)
{
    for (int i = 0; i < 16; ++i) {
        no.lane[i] = (((unsigned)mask >> i) & 1u) ? yes.lane[i] : no.lane[i];
    }
    return no;
}

static inline emulated_512 emulated_cvtps_epi32(emulated_512_f32 x)
{
    emulated_512 made;
    for (int i = 0; i < 16; ++i) {
        const float whole = rintf(x.lane[i]);
        made.lane[i] = (whole >= -0x1p31f && whole < 0x1p31f) ? (int32_t)whole : INT32_MIN;
    }
    return made;
}

static inline emulated_512 emulated_slli_epi32(emulated_512 x, unsigned by)
{
    for (int i = 0; i < 16; ++i) {
        x.lane[i] = (by > 31u) ? 0 : (int32_t)((uint32_t)x.lane[i] << by);
    }
    return x;
}

static inline emulated_512_f32 emulated_castsi512_ps(emulated_512 x)
{
    emulated_512_f32 made;
    memcpy(&made, &x, sizeof made);
    return made;
}

static inline emulated_512_f32 emulated_permutex2var_ps(emulated_512_f32 a, emulated_512 places, emulated_512_f32 b)
{
    emulated_512_f32 made;
    for (int i = 0; i < 16; ++i) {
        const int place = places.lane[i] & 31;
        made.lane[i] = (place < 16) ? a.lane[place] : b.lane[place - 16];
    }
    return made;
}

/* As the instruction names them: the highest lane first. */
#define emulated_set_epi32(l15, l14, l13, l12, l11, l10, l9, l8, l7, l6, l5, l4, l3, l2, l1, l0)                  \
    ((emulated_512){{(l0), (l1), (l2), (l3), (l4), (l5), (l6), (l7), (l8), (l9), (l10), (l11), (l12), (l13), (l14), (l15)}})

#define __m512 emulated_512_f32
#define _mm512_add_ps emulated_add_ps
#define _mm512_sub_ps emulated_sub_ps
#define _mm512_mul_ps emulated_mul_ps
#define _mm512_div_ps emulated_div_ps
#define _mm512_max_ps emulated_max_ps
#define _mm512_min_ps emulated_min_ps
#define _mm512_loadu_ps emulated_loadu_ps
#define _mm512_storeu_ps emulated_storeu_ps
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_sqrt_ps emulated_sqrt_ps
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask emulated_cmp_ps_mask
#define _mm512_mask_blend_ps emulated_mask_blend_ps
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32 emulated_cvtps_epi32
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 emulated_slli_epi32
#define _mm512_castsi512_ps emulated_castsi512_ps
#define _mm512_permutex2var_ps emulated_permutex2var_ps
#define _mm512_set_epi32 emulated_set_epi32

#endif
