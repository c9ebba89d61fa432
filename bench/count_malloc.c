/*
 * A library to preload: counts what a process asks of malloc and its family, in a file that anybody may read meanwhile.
 * LuaJIT takes its memory from the kernel, so these are the calls of our C, of SQLite, cJSON and libev.
 *
 * KON_COUNT_FILE names the file: three numbers of 64 bits, requests, bytes asked for, and bytes not given back.  What
 * the process starts is not counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counts {
	int64_t requests;
	int64_t bytes;
	int64_t live;
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static struct counts early; /* before the file is open */
static struct counts *counts = &early;

__attribute__((constructor)) static void open_file(void)
{
	const char *path = getenv("KON_COUNT_FILE");
	int fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	unsetenv("LD_PRELOAD");
	if (fd < 0 || ftruncate(fd, sizeof(*counts)) != 0)
		_exit(125);
	void *map = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		_exit(125);
	counts = map;
	*counts = early;
}

static void add(int64_t *number, int64_t value)
{
	__atomic_fetch_add(number, value, __ATOMIC_RELAXED);
}

static void *counted(void *block, size_t size)
{
	add(&counts->requests, 1);
	add(&counts->bytes, (int64_t)size);
	add(&counts->live, (int64_t)malloc_usable_size(block));
	return block;
}

void *malloc(size_t size)
{
	return counted(__libc_malloc(size), size);
}

void *calloc(size_t count, size_t size)
{
	return counted(__libc_calloc(count, size), count * size);
}

void *realloc(void *old, size_t size)
{
	int64_t before = (int64_t)malloc_usable_size(old);
	void *block = __libc_realloc(old, size);
	if (block != NULL || size == 0)
		add(&counts->live, -before);
	return counted(block, size);
}

void *memalign(size_t alignment, size_t size)
{
	return counted(__libc_memalign(alignment, size), size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	*out = memalign(alignment, size);
	return *out != NULL ? 0 : ENOMEM;
}

void free(void *block)
{
	add(&counts->live, -(int64_t)malloc_usable_size(block));
	__libc_free(block);
}
