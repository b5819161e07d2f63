/* arena.h -- memory with plain lifetimes: everything in an arena dies with it
 *
 * Blocks are zeroed and 16-byte aligned; running out of memory prints one line and ends the process
 * with exit code 3 (the compiler holds nothing that could be lost). Not thread-safe: one owner an arena.
 */
#ifndef CNNC_IR_ARENA_H
#define CNNC_IR_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#if defined(__GNUC__)
#define CNNC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CNNC_PRINTF(fmt, args)
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NEW(arena, T) ((T *)arena_alloc((arena), 1, sizeof(T)))
#define NEWN(arena, T, n) ((T *)arena_alloc((arena), (size_t)(n), sizeof(T)))

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *a);
_Noreturn void arena_out_of_memory(void); /* one line, exit status 3: for what must be allocated elsewhere */
void arena_reset(Arena *a); /* everything allocated so far is gone; the memory is kept for reuse */

void *arena_alloc(Arena *a, size_t count, size_t size); /* count * size is checked */
/* Moves `old` (count_old elements) to a block of count_new elements; the new tail is zero. */
void *arena_grow(Arena *a, void *old, size_t count_old, size_t count_new, size_t size);
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) CNNC_PRINTF(2, 3);
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);

#endif
