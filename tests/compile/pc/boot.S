/* From a PC's firmware to main in 64-bit mode, with the registers of AVX-512 switched on (Intel Software Developer's
 * Manual, volume 3A, sections 10.8.5 and 14.5). The first sector of the disk loads those behind it, which hold the
 * functions of port_pc.c; they load the rest. There is no table of interrupts: a fault ends the machine. */
        .set    tables, 0x1000          /* of pages: three of 4 KiB */

        .section .boot, "ax"
        .code16
        .globl  start
start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $start, %sp
        movw    $packet, %si
        movb    $0x42, %ah              /* extended read; the firmware left the disk's number in dl */
        int     $0x13
        jc      stop

        inb     $0x92, %al              /* address line 20 */
        orb     $2, %al
        outb    %al, $0x92

        movw    $tables, %di            /* 128 MiB of memory where they are, in pages of 2 MiB */
        xorw    %ax, %ax
        movw    $(3 * 4096 / 2), %cx
        rep stosw
        movl    $(tables + 0x1003), tables
        movl    $(tables + 0x2003), tables + 0x1000
        movl    $0x83, %eax
        movw    $(tables + 0x2000), %di
page:
        movl    %eax, (%di)
        addw    $8, %di
        addl    $0x200000, %eax
        cmpl    $0x8000083, %eax
        jne     page

        movl    %cr4, %eax
        orl     $(1 << 5 | 1 << 9 | 1 << 10 | 1 << 18), %eax    /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
        movl    %eax, %cr4
        movl    $tables, %eax
        movl    %eax, %cr3
        movl    $0xC0000080, %ecx       /* EFER: LME */
        rdmsr
        orl     $(1 << 8), %eax
        wrmsr
        lgdt    descriptors
        movl    %cr0, %eax
        andl    $~(1 << 2), %eax        /* EM */
        orl     $(1 << 31 | 1 << 1 | 1), %eax   /* PG, MP, PE */
        movl    %eax, %cr0
        ljmp    $8, $long_mode
stop:
        hlt
        jmp     stop

        .code64
long_mode:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movq    $stack_top, %rsp
        xorl    %ecx, %ecx              /* XCR0: x87, SSE, AVX, and the three parts of AVX-512 */
        xorl    %edx, %edx
        movl    $0xE7, %eax
        xsetbv
        fninit
        movq    $bss_start, %rdi
        movq    $bss_end, %rcx
        subq    %rdi, %rcx
        xorl    %eax, %eax
        rep stosb
        call    port_load
        call    main
        movl    %eax, %edi
        call    port_exit

packet:
        .byte   16, 0
        .word   63, 0, 0x800            /* sectors, to 0x8000 */
        .long   1, 0                    /* from */
        .balign 8
table:
        .quad   0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF      /* null, 64-bit code, data */
descriptors:
        .word   23
        .long   table

        .org    510
        .word   0xAA55
        .section .note.GNU-stack, "", @progbits
