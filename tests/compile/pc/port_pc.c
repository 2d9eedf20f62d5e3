/* Two disks of a PC's first ATA controller, by programmed input and output (ATA/ATAPI-6, sections 8.27 and 8.62). The
 * first holds the program; the second what it reads, then a sector that says how it ended, then what it writes. */
#include <stddef.h>

#include "port.h"

enum { SECTOR = 512, DATA = 0x1F0, COUNT = 0x1F2, LOW = 0x1F3, MIDDLE = 0x1F4, HIGH = 0x1F5, DEVICE = 0x1F6 };
enum { COMMAND = 0x1F7, STATUS = 0x1F7, READ = 0x20, WRITE = 0x30, FIRST = 0xE0, SECOND = 0xF0, BUSY = 0x80, READY = 0x08 };
enum { SHUTDOWN = 0x8900 /* Bochs ends when it reads this word here */ };

enum { PROGRAM_SECTOR = 64 };
extern uint8_t program_start[];
extern uint8_t program_end[];
extern const char input_bytes[]; /* a number, from the command line: its address is its value */

typedef struct {
    uint8_t bytes[SECTOR];
    int32_t used;
    uint32_t next; /* sector */
} disk_stream;

typedef struct {
    uint32_t ended; /* 1, and only at the end */
    uint32_t status;
    uint64_t written;
} disk_report;

static disk_stream output;
static uint64_t written;

/* gcc calls these of its own accord. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes)::"memory");
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(value) : "memory");
    return to;
}

/* Of the C library, which is not here: kernels for other processors name them, and none that is called may. */
#define ABSENT(function) \
    void function(void); \
    void function(void) \
    { \
        port_exit(71); \
    }
ABSENT(erff)
ABSENT(expf)
ABSENT(expm1f)
ABSENT(log1pf)
ABSENT(logf)
ABSENT(powf)
ABSENT(tanhf)

static void out(uint16_t port, uint32_t byte)
{
    __asm__ volatile("outb %b0, %1" ::"a"(byte), "Nd"(port));
}

static uint8_t in(uint16_t port)
{
    uint8_t byte;
    __asm__ volatile("inb %1, %0" : "=a"(byte) : "Nd"(port));
    return byte;
}

static void begin(uint32_t disk, uint32_t sector, uint32_t command)
{
    out(DEVICE, disk | (sector >> 24));
    out(COUNT, 1);
    out(LOW, sector);
    out(MIDDLE, sector >> 8);
    out(HIGH, sector >> 16);
    out(COMMAND, command);
    while ((in(STATUS) & (BUSY | READY)) != READY) {
    }
}

static void read_sector(uint32_t disk, uint32_t sector, void *into)
{
    size_t words = SECTOR / 2;
    begin(disk, sector, READ);
    __asm__ volatile("rep insw" : "+D"(into), "+c"(words) : "d"(DATA) : "memory");
}

static void write_sector(uint32_t sector, const void *from)
{
    size_t words = SECTOR / 2;
    begin(SECOND, sector, WRITE);
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(words) : "d"(DATA) : "memory");
    while ((in(STATUS) & BUSY) != 0) {
    }
}

/* Called by boot.S. */
void port_load(void);
void port_load(void)
{
    uint32_t sector = PROGRAM_SECTOR;
    for (uint8_t *at = program_start; at < program_end; at += SECTOR) {
        read_sector(FIRST, sector++, at);
    }
}

static uint64_t input_size(void)
{
    return (uint64_t)(uintptr_t)input_bytes;
}

static uint32_t report_sector(void)
{
    return (uint32_t)((input_size() + SECTOR - 1) / SECTOR);
}

int port_read(void *into, int32_t bytes)
{
    static disk_stream input;
    static uint64_t taken;
    if (taken + (uint64_t)bytes > input_size()) {
        return 0;
    }
    for (int32_t i = 0; i < bytes;) {
        if (input.used % SECTOR == 0) {
            read_sector(SECOND, input.next++, input.bytes);
            input.used = 0;
        }
        const int32_t rest = SECTOR - input.used;
        const int32_t some = (bytes - i < rest) ? bytes - i : rest;
        (void)memcpy((uint8_t *)into + i, input.bytes + input.used, (size_t)some);
        input.used += some;
        i += some;
    }
    taken += (uint64_t)bytes;
    return 1;
}

static void flush(void)
{
    write_sector(report_sector() + 1 + output.next++, output.bytes);
    output.used = 0;
}

void port_write(const void *from, int32_t bytes)
{
    for (int32_t i = 0; i < bytes;) {
        const int32_t rest = SECTOR - output.used;
        const int32_t some = (bytes - i < rest) ? bytes - i : rest;
        (void)memcpy(output.bytes + output.used, (const uint8_t *)from + i, (size_t)some);
        output.used += some;
        i += some;
        if (output.used == SECTOR) {
            flush();
        }
    }
    written += (uint64_t)bytes;
}

void port_exit(int status)
{
    static uint8_t sector[SECTOR];
    const disk_report report = {1, (uint32_t)status, written};
    if (output.used != 0) {
        flush();
    }
    (void)memcpy(sector, &report, sizeof report);
    write_sector(report_sector(), sector);
    for (const char *letter = "Shutdown"; *letter != '\0'; ++letter) {
        out(SHUTDOWN, (uint32_t)*letter);
    }
    for (;;) {
    }
}
