/* Runs a network once and counts the instructions of every layer by SysTick, which QEMU's -icount ties to them.
 * A loop of known length tells how many ticks an instruction is. */
#include <stdint.h>

#include "NETWORK.h"
#include "port.h"

enum { TURNS = 100000, MOST = 64 }; /* of the known loop, two instructions each; stamps */

static volatile uint32_t *const control = (volatile uint32_t *)0xE000E010u;
static volatile uint32_t *const reload = (volatile uint32_t *)0xE000E014u;
static volatile uint32_t *const current = (volatile uint32_t *)0xE000E018u;

static uint32_t stamps[MOST];
static int32_t count;
static IN_TYPE in[IN_SIZE];
static OUT_TYPE out[OUT_SIZE];
static double arena[(ARENA + 7) / 8 + 1];

static void stamp(void)
{
    stamps[count++] = *current;
}

void NETWORK_observe(int32_t layer, const void *output, int32_t bytes)
{
    (void)layer;
    (void)output;
    (void)bytes;
    stamp();
}

__attribute__((noinline)) static void known(uint32_t turns)
{
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n\tbne 1b" : "+l"(turns) : : "cc");
}

int main(void)
{
    (void)port_read(in, (int32_t)sizeof in);
    *reload = 0xFFFFFFu;
    *current = 0;
    *control = 5; /* enabled, from the core's clock */
    stamp();
    known(TURNS);
    stamp();
    NETWORK_run(in, out, arena);
    port_write(stamps, count * (int32_t)sizeof stamps[0]);
    port_exit(0);
    return 0;
}
