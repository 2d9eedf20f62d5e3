/* Sums of products of up to 32 output channels and many windows: the inner loop of convolutions and dense layers on
 * processors with vector units, and the one place where their instruction sets differ. Sums are exact, so that every
 * variant gives the same bytes.
 *
 * Windows read a tile: int8 values in the form that the instruction set multiplies, 1 or 2 bytes each. */
#ifndef TILE_S8_H
#define TILE_S8_H

#include <stdint.h>

enum {
    TILE_S8_BLOCK = 16,   /* channels of a block of weights */
    TILE_S8_TAPS = 4,     /* taps of a channel that lie side by side */
    TILE_S8_CHANNELS = 32, /* most channels of one call, and */
    TILE_S8_WINDOWS = 24, /* most windows */
    TILE_S8_SPAN = 16     /* quads of one number of tile_s8_weights.narrow */
};

typedef struct {
    int32_t rows;  /* runs of a window */
    int32_t quads; /* groups of four taps in a run; the last may be filled up with weights of zero */
    int32_t pitch; /* values from one run to the next */
} tile_s8_window;

typedef struct {
    const int8_t *weights;       /* [blocks][rows][quads][16 channels][4 taps] */
    const int32_t *bias;         /* [blocks][16] */
    const int32_t *bias_shifted; /* the same for values plus 128, which some instructions need */
    const uint8_t *narrow;       /* [blocks][rows][spans]: of how many quads the products of two taps, of values plus
                                  * 128, add up in 16 bits: 1, or 2 that follow each other; NULL: not even of one */
} tile_s8_weights;

/* Writes values to a tile of the layer that has these weights, at an index. */
void tile_s8_load(const tile_s8_weights *weights, int8_t *tile, int32_t at, const int8_t *values, int32_t count);

/* Writes one value many times. */
void tile_s8_fill(const tile_s8_weights *weights, int8_t *tile, int32_t at, int8_t value, int32_t count);

/* One call of tile_s8_sums. */
typedef struct {
    tile_s8_window window;
    const int8_t *weights; /* of the first channel's block; see tile_s8_weights */
    const int32_t *bias;   /* of the first channel, or */
    const int32_t *bias_shifted;
    const uint8_t *narrow; /* of the first channel's block, or NULL */
    int32_t channels;
} tile_s8_part;

/* The part of a layer from a channel on, which is the first of a block. */
tile_s8_part tile_s8_part_of(
    const tile_s8_window *window, const tile_s8_weights *weights, int32_t channel, int32_t channels);

/* sums[i][c] = bias[c] + weights[c] . window i, for `count` windows that begin at the values `starts`. What lies in
 * sums[i] behind the last channel is of any value, in whole blocks. */
void tile_s8_sums(
    const tile_s8_part *part, const int8_t *tile, const int32_t *starts, int32_t count,
    int32_t (*sums)[TILE_S8_CHANNELS]);

/* Rows: where the input has one channel, neighbouring outputs fill a vector better than output channels do. */
enum {
    TILE_S8_ROW = 32,     /* outputs of one call */
    TILE_S8_HALF = 16,    /* every other one of them */
    TILE_S8_TOGETHER = 6, /* most channels of one call */
    TILE_S8_BEYOND = 36   /* values behind a tile that may be read */
};

typedef struct {
    int32_t together;       /* channels whose weights lie side by side: 4 or 6 */
    int32_t pairs;          /* of neighbouring taps in a window; the last of its row may be filled up with a zero */
    const int32_t *offsets; /* [pairs]: where each lies, from the window's first value */
    const int16_t *weights; /* [channels / together][pairs][together][2]; NULL: there are none, take windows */
    const int32_t *bias;    /* [channels / together][together] */
} tile_s8_rows;

typedef int32_t tile_s8_half[TILE_S8_TOGETHER * TILE_S8_HALF]; /* [channels][TILE_S8_HALF] */

/* sums[0][c][i], sums[1][c][i]: of the windows that begin at the values start + 2 i and start + 2 i + 1, for at least
 * `outputs` windows, and the channels that lie together from `channel` on.
 *
 * Returns 0, and computes nothing, where tile_s8_sums is faster with this instruction set. */
int tile_s8_row(
    const tile_s8_rows *rows, int32_t channel, const int8_t *tile, int32_t start, int32_t outputs,
    tile_s8_half sums[2]);

#endif
