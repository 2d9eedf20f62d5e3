/* From reset to main on any Cortex-M: vectors, memory, floating point. */
#include <stdint.h>

#include "port.h"

extern uint32_t stack_top;
extern uint32_t data_load;
extern uint32_t data_start;
extern uint32_t data_end;
extern uint32_t bss_start;
extern uint32_t bss_end;

int main(void);
void reset(void);
static void fault(void);

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)&stack_top, reset, fault, fault, fault, fault, fault};

void reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to CP10 and CP11 */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *from = &data_load;
    for (volatile uint32_t *to = &data_start; to < &data_end; ++to) {
        *to = *from++;
    }
    for (volatile uint32_t *to = &bss_start; to < &bss_end; ++to) {
        *to = 0;
    }
    port_exit(main());
}

static void fault(void)
{
    port_exit(70);
}
