/*
 * Entry of the static program: takes all of its writable pages at once, then goes on as any program does.
 *
 * A position-independent program begins by writing its own address into its tables of pointers, a hundred pages of them.
 * Each is a page fault, and the rest of the data follows soon; one call spares 120 faults and a tenth of a millisecond.
 *
 * Nothing is relocated yet, so there are no calls into libraries here, no stack protector and no pointers from tables.
 * Kernels before 5.14 do not know the advice and refuse it: then the pages come one by one.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define PAGE 4096u /* on x86-64 always */

/* Both from the linker: the first pointer table, and the end of all data. */
extern char __init_array_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));

__attribute__((used, no_stack_protector)) static void take_writable_pages(void)
{
	uintptr_t begin = (uintptr_t)__init_array_start & ~(uintptr_t)(PAGE - 1);
	uintptr_t end = ((uintptr_t)_end + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	long result = SYS_madvise;
	__asm__ volatile("syscall"
	                 : "+a"(result)
	                 : "D"(begin), "S"(end - begin), "d"(MADV_POPULATE_WRITE)
	                 : "rcx", "r11", "memory");
}

/* The kernel's rdx is for _start; pushed twice, so that the stack is aligned as the calling convention wants it. */
__asm__(".text\n"
        ".globl kon_entry\n"
        ".type kon_entry, @function\n"
        "kon_entry:\n"
        "	endbr64\n"
        "	push %rdx\n"
        "	push %rdx\n"
        "	call take_writable_pages\n"
        "	pop %rdx\n"
        "	pop %rdx\n"
        "	jmp _start\n"
        ".size kon_entry, . - kon_entry\n");
