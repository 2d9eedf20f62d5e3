/* Product of two int8 tensors: see mul_s8.h. */
#include "mul_s8.h"

static void line(const mul_s8_layer *l, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (int32_t i = 0; i < l->shape.size_3; ++i) {
        const int32_t value_a = a[(ptrdiff_t)i * l->shape.a_3] - l->zero_a;
        const int32_t value_b = b[(ptrdiff_t)i * l->shape.b_3] - l->zero_b;
        out[i] = requantize_s8_value(&l->output, value_a * value_b, 0);
    }
}

void mul_s8(const mul_s8_layer *layer, const int8_t *a, const int8_t *b, int8_t *out)
{
    const broadcast_shape *const s = &layer->shape;
    for (int32_t i = 0; i < s->size_0; ++i) {
        for (int32_t j = 0; j < s->size_1; ++j) {
            const int8_t *const from_a = a + (((ptrdiff_t)i * s->a_0) + ((ptrdiff_t)j * s->a_1));
            const int8_t *const from_b = b + (((ptrdiff_t)i * s->b_0) + ((ptrdiff_t)j * s->b_1));
            for (int32_t k = 0; k < s->size_2; ++k) {
                line(layer, from_a + ((ptrdiff_t)k * s->a_2), from_b + ((ptrdiff_t)k * s->b_2), out);
                out += s->size_3;
            }
        }
    }
}
