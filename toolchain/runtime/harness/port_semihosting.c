/* Files of the machine that debugs or emulates an Arm core, through semihosting (Arm document 100863). */
#include "port.h"

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { MODE_READ_BINARY = 1, MODE_WRITE_BINARY = 5 };
enum { ADP_STOPPED_APPLICATION_EXIT = 0x20026 };

static int32_t request(int32_t operation, const void *block)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t opened(int32_t file, const char *name, int32_t length, int32_t mode)
{
    if (file >= 0) {
        return file;
    }
    const intptr_t block[3] = {(intptr_t)name, mode, length};
    const int32_t result = request(SYS_OPEN, block);
    if (result < 0) {
        port_exit(3);
    }
    return result;
}

int port_read(void *into, int32_t bytes)
{
    static int32_t file = -1;
    file = opened(file, "input.bin", 9, MODE_READ_BINARY);
    const intptr_t block[3] = {file, (intptr_t)into, bytes};
    return request(SYS_READ, block) == 0; /* the number of bytes that did not come */
}

void port_write(const void *from, int32_t bytes)
{
    static int32_t file = -1;
    file = opened(file, "output.bin", 10, MODE_WRITE_BINARY);
    const intptr_t block[3] = {file, (intptr_t)from, bytes};
    if (request(SYS_WRITE, block) != 0) {
        port_exit(4);
    }
}

void port_exit(int status)
{
    const intptr_t block[2] = {ADP_STOPPED_APPLICATION_EXIT, status};
    (void)request(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}
