/* schedule.c -- schedule files as text: see schedule.h
 *
 * Reads and prints; whether a schedule is legal for its kernel is asked by the pass that takes it. Lines of other targets and
 * other versions are kept, so that one file can serve several.
 */
#include "passes/schedule.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 256 };
static const char HEADER[] = "cnnc schedules 1";

/* FNV-1a, 64 bits */
uint64_t schedule_hash(const char *text)
{
	uint64_t h = 14695981039346656037u;
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

bool schedule_equal(const KSchedule *a, const KSchedule *b)
{
	if (a->nloops != b->nloops)
		return false;
	for (int i = 0; i < a->nloops; i++) {
		const KLoop *x = &a->loop[i], *y = &b->loop[i];
		if (x->level != y->level || x->axis != y->axis || x->step != y->step)
			return false;
	}
	return true;
}

/* ---- the table ---- */

ScheduleFile *schedule_new(Arena *a)
{
	ScheduleFile *s = NEW(a, ScheduleFile);
	s->arena = a;
	s->by_key = names_new(a);
	return s;
}

static const char *key_of(char *room, size_t size, uint64_t kernel, const char *target, const char *version, const char *pass)
{
	snprintf(room, size, "%016llx %s %s %s", (unsigned long long)kernel, target, version, pass);
	return room;
}

ScheduleLine *schedule_find(const ScheduleFile *s, uint64_t kernel, const char *target, const char *pass)
{
	char room[KEY_MAX];
	return names_get(s->by_key, key_of(room, sizeof room, kernel, target, CNNC_VERSION, pass));
}

/* One word, or the rest of a line; nothing that would end the line. */
static const char *clean(Arena *a, const char *text, bool word)
{
	char *copy = arena_strdup(a, text && *text ? text : "-");
	for (char *c = copy; *c; c++) {
		if (iscntrl((unsigned char)*c) || (word && *c == ' '))
			*c = '_';
	}
	return copy;
}

void schedule_put(ScheduleFile *s, const ScheduleLine *line)
{
	char room[KEY_MAX];
	ScheduleLine *l = NEW(s->arena, ScheduleLine);
	*l = *line;
	l->target = clean(s->arena, line->target, true);
	l->version = clean(s->arena, line->version, true);
	l->pass = clean(s->arena, line->pass, true);
	l->machine = clean(s->arena, line->machine, false);
	l->name = line->name ? clean(s->arena, line->name, false) : NULL;
	ScheduleLine *old = names_add(s->by_key, key_of(room, sizeof room, l->kernel, l->target, l->version, l->pass), l);
	if (old) {
		*old = *l;
		return;
	}
	if (s->n == s->room) {
		int more = s->room ? s->room * 2 : 64;
		s->line = arena_grow(s->arena, s->line, (size_t)s->room, (size_t)more, sizeof(*s->line));
		s->room = more;
	}
	s->line[s->n++] = l;
}

/* ---- reading ---- */

typedef struct Reader {
	const char *file, *begin, *at, *end; /* begin … end: the line */
	int number;
	Arena *arena;
	Diag *d;
} Reader;

static bool wrong(const Reader *r, const char *at, size_t len, const char *what)
{
	return diag_error(r->d, (Loc){r->file, r->number, (int)(at - r->begin) + 1, (int)len}, "%s", what);
}

/* The next word of the line; its length, 0 at the end. */
static size_t next_word(Reader *r, const char **word)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
		r->at++;
	*word = r->at;
	while (r->at < r->end && *r->at != ' ' && *r->at != '\t')
		r->at++;
	return (size_t)(r->at - *word);
}

static bool take_word(Reader *r, const char **out, const char *what)
{
	const char *word;
	size_t n = next_word(r, &word);
	if (n == 0 || (n == 1 && *word == ':'))
		return wrong(r, word, n, what);
	*out = arena_strndup(r->arena, word, n);
	return true;
}

static bool take_colon(Reader *r)
{
	const char *word;
	size_t n = next_word(r, &word);
	return (n == 1 && *word == ':') || wrong(r, word, n, "a ':' is expected here");
}

static bool take_hash(Reader *r, uint64_t *out)
{
	const char *word;
	size_t n = next_word(r, &word);
	*out = 0;
	for (size_t i = 0; n == 16 && i < n; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit = word[i] ? strchr(digits, word[i]) : NULL;
		if (!digit)
			n = 0;
		else
			*out = *out << 4 | (uint64_t)(digit - digits);
	}
	return n == 16 || wrong(r, word, (size_t)(r->at - word), "a kernel's hash is expected here: 16 digits of 0-9 a-f");
}

/* Digits from *at on, at most `most`; false without any, or beyond. */
static bool digits(const char **at, const char *end, int64_t most, int64_t *out)
{
	const char *from = *at;
	*out = 0;
	while (*at < end && **at >= '0' && **at <= '9') {
		*out = *out * 10 + (**at - '0');
		if (*out > most)
			return false;
		(*at)++;
	}
	return *at > from;
}

/* a3 or a3/16 */
static bool loop_of(Reader *r, const char *word, size_t n, int level, KSchedule *s)
{
	const char *at = word + 1, *end = word + n;
	int64_t axis = 0, step = 1;
	bool ok = *word == 'a' && digits(&at, end, K_MAX_AXES - 1, &axis);
	if (ok && at < end && *at == '/') {
		at++;
		ok = digits(&at, end, INT32_MAX, &step) && step > 0;
	}
	if (!ok || at != end)
		return wrong(r, word, n, "an axis is expected here, as a3 or a3/16");
	if (s->nloops == (int)COUNT(s->loop))
		return wrong(r, word, n, "too many loops");
	s->loop[s->nloops++] = (KLoop){(KLevel)level, (int8_t)axis, (int32_t)step};
	return true;
}

static int level_of(const char *word, size_t n)
{
	const char *name;
	for (int i = 0; (name = k_level_name(i)); i++) {
		if (strlen(name) == n && !memcmp(name, word, n))
			return i;
	}
	return -1;
}

/* Up to and with the colon after it */
static bool take_schedule(Reader *r, KSchedule *s)
{
	int level = -1;
	*s = (KSchedule){.nloops = 0};
	for (;;) {
		const char *word;
		size_t n = next_word(r, &word);
		if (n == 1 && *word == ':')
			return true;
		int begins = n ? level_of(word, n) : -1;
		if (begins >= 0)
			level = begins;
		else if (n == 0 || level < 0)
			return wrong(r, word, n, n ? "loop, unroll or vector is expected here" : "the line ends inside the schedule");
		else if (!loop_of(r, word, n, level, s))
			return false;
	}
}

static bool take_ns(Reader *r, double *out)
{
	const char *word;
	size_t n = next_word(r, &word);
	const char *at = word;
	int64_t ns = 0;
	bool ok = digits(&at, word + n, (int64_t)1 << 53, &ns) && at == word + n;
	*out = (double)ns;
	return ok || wrong(r, word, n, "nanoseconds are expected here");
}

static bool take_line(Reader *r, ScheduleLine *l)
{
	if (!take_hash(r, &l->kernel) || !take_word(r, &l->target, "a target is expected here") ||
	    !take_word(r, &l->version, "a version is expected here") || !take_colon(r) ||
	    !take_word(r, &l->pass, "the name of a pass is expected here") || !take_colon(r) ||
	    !take_schedule(r, &l->sched) || !take_ns(r, &l->ns))
		return false;
	const char *word, *from;
	size_t n = next_word(r, &from);
	while (n && next_word(r, &word))
		n = (size_t)(r->at - from);
	if (!n)
		return wrong(r, r->at, 0, "the machine's name is expected here");
	l->machine = arena_strndup(r->arena, from, n);
	return true;
}

/* A comment names the kernel of the line after it. */
static const char *comment(const Reader *r)
{
	const char *at = r->begin + 1;
	while (at < r->end && *at == ' ')
		at++;
	return arena_strndup(r->arena, at, (size_t)(r->end - at));
}

static bool read_line(Reader *r, ScheduleFile *s, const char **name)
{
	const char *word, *zero = r->begin < r->end ? memchr(r->begin, 0, (size_t)(r->end - r->begin)) : NULL;
	if (zero)
		return wrong(r, zero, 1, "this is no text");
	if (r->number == 1) {
		bool ok = r->end - r->begin == (ptrdiff_t)strlen(HEADER) && !memcmp(r->begin, HEADER, strlen(HEADER));
		return ok || wrong(r, r->begin, 1, "this is no schedule file: its first line is not `cnnc schedules 1`");
	}
	if (r->begin < r->end && *r->begin == '#') {
		*name = comment(r);
		return true;
	}
	size_t n = next_word(r, &word);
	if (n == 0)
		return true;
	r->at = r->begin;
	ScheduleLine l = {.name = *name, .loc = {r->file, r->number, (int)(word - r->begin) + 1, (int)n}};
	*name = NULL;
	if (!take_line(r, &l))
		return false;
	schedule_put(s, &l);
	return true;
}

ScheduleFile *schedule_parse(const char *file, const char *text, size_t len, Arena *a, Diag *d)
{
	ScheduleFile *s = schedule_new(a);
	Reader r = {.file = file, .arena = a, .d = d, .number = 1};
	const char *name = NULL;
	for (size_t at = 0; r.number == 1 || at < len; r.number++) {
		const char *nl = at < len ? memchr(text + at, '\n', len - at) : NULL;
		size_t n = nl ? (size_t)(nl - (text + at)) : len - at;
		r.begin = r.at = text + at;
		r.end = r.begin + n;
		if (r.end > r.begin && r.end[-1] == '\r')
			r.end--;
		if (!read_line(&r, s, &name))
			return NULL;
		at += n + 1;
	}
	return s;
}

void schedule_print(const ScheduleFile *s, FILE *f)
{
	fprintf(f, "%s\n", HEADER);
	for (int i = 0; i < s->n; i++) {
		const ScheduleLine *l = s->line[i];
		if (l->name)
			fprintf(f, "# %s\n", l->name);
		fprintf(f, "%016llx %s %s : %s : ", (unsigned long long)l->kernel, l->target, l->version, l->pass);
		k_print_schedule(&l->sched, f);
		fprintf(f, "%s: %.0f %s\n", l->sched.nloops ? " " : "", l->ns, l->machine);
	}
}
