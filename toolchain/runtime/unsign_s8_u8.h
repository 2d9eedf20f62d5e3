/* A matrix of int8 values turned, and each plus 128: channels-last maps to the caller's uint8. */
#ifndef UNSIGN_S8_U8_H
#define UNSIGN_S8_U8_H

#include <stdint.h>

typedef struct {
    int32_t rows, columns;
} unsign_s8_u8_layer;

/* in: [rows][columns]; out: [columns][rows], apart from `in`. */
void unsign_s8_u8(const unsign_s8_u8_layer *layer, const int8_t *in, uint8_t *out);

#endif
