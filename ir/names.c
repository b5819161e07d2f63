/* names.c -- a map from names to pointers: open addressing, at most half full
 *
 * Hash: FNV-1a, 64 bits. Values are never NULL.
 */
#include "ir/names.h"

#include <stdint.h>
#include <string.h>

typedef struct Slot { const char *name; void *value; } Slot;

struct Names {
	Arena *arena;
	Slot *slot;
	size_t used, size; /* size is a power of two */
};

Names *names_new(Arena *a)
{
	Names *t = NEW(a, Names);
	*t = (Names){ .arena = a, .size = 16 };
	t->slot = NEWN(a, Slot, t->size);
	return t;
}

/* The slot of `name`, or the empty one where it belongs. */
static Slot *find(const Names *t, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (const char *s = name; *s; s++)
		hash = (hash ^ (unsigned char)*s) * 0x100000001b3u;
	size_t i = (size_t)(hash ^ hash >> 32) & (t->size - 1);
	while (t->slot[i].name && strcmp(t->slot[i].name, name) != 0)
		i = (i + 1) & (t->size - 1);
	return &t->slot[i];
}

void *names_get(const Names *t, const char *name)
{
	return find(t, name)->value;
}

static void widen(Names *t)
{
	Slot *old = t->slot;
	size_t n = t->size;
	t->size *= 2;
	t->slot = NEWN(t->arena, Slot, t->size);
	for (size_t i = 0; i < n; i++) {
		if (old[i].name)
			*find(t, old[i].name) = old[i];
	}
}

void *names_add(Names *t, const char *name, void *value)
{
	Slot *s = find(t, name);
	if (s->name)
		return s->value;
	if (2 * (t->used + 1) > t->size) {
		widen(t);
		s = find(t, name);
	}
	*s = (Slot){ arena_strdup(t->arena, name), value };
	t->used++;
	return NULL;
}
