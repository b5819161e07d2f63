/* arena.c -- memory with plain lifetimes
 *
 * A chain of malloc'ed blocks, filled in order; arena_reset rewinds to the first one and keeps the chain. Under
 * AddressSanitizer everything not handed out is poisoned, with a gap behind each piece, so overruns are caught.
 * The only file of the compiler that calls malloc.
 */
#include "ir/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ir/size.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
enum { GAP = 0 };
#endif

enum { ALIGN = 16, BLOCK_FIRST = 16 << 10, BLOCK_LARGEST = 1 << 20 };

typedef struct Block {
	struct Block *next;
	size_t size, used; /* bytes of data[]; used is a multiple of ALIGN */
	_Alignas(ALIGN) unsigned char data[];
} Block;

struct Arena {
	Block *first, *current; /* blocks behind `current` are empty */
	size_t next_size;
};

/* Other threads may be at work: handlers of exit() would take from them what they use. */
_Noreturn void arena_out_of_memory(void)
{
	fputs("cnnc: error: out of memory\n", stderr);
	fflush(stdout);
	_exit(3);
}

static Block *block_new(size_t size)
{
	size_t bytes;
	Block *b = size_add(size, sizeof(Block), &bytes) ? malloc(bytes) : NULL;
	if (!b)
		arena_out_of_memory();
	b->next = NULL;
	b->size = size;
	b->used = 0;
	ASAN_POISON_MEMORY_REGION(b->data, size);
	return b;
}

Arena *arena_new(void)
{
	Arena *a = malloc(sizeof *a);
	if (!a)
		arena_out_of_memory();
	a->next_size = BLOCK_FIRST;
	a->first = a->current = block_new(a->next_size);
	return a;
}

void arena_free(Arena *a)
{
	if (!a)
		return;
	for (Block *b = a->first, *next; b; b = next) {
		next = b->next;
		ASAN_UNPOISON_MEMORY_REGION(b->data, b->size);
		free(b);
	}
	free(a);
}

void arena_reset(Arena *a)
{
	for (Block *b = a->first; b; b = b->next) {
		b->used = 0;
		ASAN_POISON_MEMORY_REGION(b->data, b->size);
	}
	a->current = a->first;
}

/* A block with `bytes` free, made current. One that is too small is left behind until the next reset. */
static Block *block_for(Arena *a, size_t bytes)
{
	Block *b = a->current;
	while (b->size - b->used < bytes) {
		if (!b->next) {
			if (a->next_size < BLOCK_LARGEST)
				a->next_size *= 2;
			b->next = block_new(bytes > a->next_size ? bytes : a->next_size);
		}
		b = b->next;
	}
	return a->current = b;
}

static void *take(Arena *a, size_t bytes)
{
	size_t total;
	if (!size_add(bytes, GAP, &total) || !size_align(total, ALIGN, &total))
		arena_out_of_memory();
	if (total == 0)
		total = ALIGN; /* every piece has an address of its own */
	Block *b = block_for(a, total);
	void *at = b->data + b->used;
	b->used += total;
	ASAN_UNPOISON_MEMORY_REGION(at, bytes);
	return at;
}

void *arena_alloc(Arena *a, size_t count, size_t size)
{
	size_t bytes;
	if (!size_mul(count, size, &bytes))
		arena_out_of_memory();
	return memset(take(a, bytes), 0, bytes);
}

void *arena_grow(Arena *a, void *old, size_t count_old, size_t count_new, size_t size)
{
	void *at = arena_alloc(a, count_new, size);
	size_t keep = count_old < count_new ? count_old : count_new;
	if (keep)
		memcpy(at, old, keep * size);
	return at;
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = arena_alloc(a, len + 1, 1);
	memcpy(copy, s, len);
	return copy;
}

char *arena_strdup(Arena *a, const char *s)
{
	return arena_strndup(a, s, SIZE_MAX);
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		return arena_strdup(a, "");
	char *text = arena_alloc(a, (size_t)len + 1, 1);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	return text;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return text;
}
