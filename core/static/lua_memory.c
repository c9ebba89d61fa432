/*
 * The memory of Lua, with its pages: LuaJIT asks for 128 KiB whenever it has none left, and goes through all of it at
 * once while modules are loaded. One call for 32 pages takes half of the time that 32 page faults take.
 *
 * Guards, which are forked from this process, have no use for it and do without: otherwise each page that Lua writes
 * after a fork is copied first, and the guard keeps the old ones for as long as it lives.
 *
 * The linker sends calls of mmap64() from LuaJIT's allocator here (--wrap); glibc's own allocator does not come by.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#define SEGMENT (128u << 10) /* DEFAULT_GRANULARITY of LuaJIT's lj_alloc.c */

void *__real_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	bool is_anonymous = flags == (MAP_PRIVATE | MAP_ANONYMOUS);
	if (size == SEGMENT && is_anonymous)
		flags |= MAP_POPULATE;
	void *memory = __real_mmap64(addr, size, prot, flags, fd, offset);
	if (memory != MAP_FAILED && is_anonymous)
		madvise(memory, size, MADV_DONTFORK); /* a hint: without it there is more to copy */
	return memory;
}
