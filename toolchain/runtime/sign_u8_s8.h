/* A matrix of uint8 values turned, and each less 128: the caller's image to channels-last int8. */
#ifndef SIGN_U8_S8_H
#define SIGN_U8_S8_H

#include <stdint.h>

typedef struct {
    int32_t rows, columns;
} sign_u8_s8_layer;

/* in: [rows][columns]; out: [columns][rows], apart from `in`. */
void sign_u8_s8(const sign_u8_s8_layer *layer, const uint8_t *in, int8_t *out);

#endif
