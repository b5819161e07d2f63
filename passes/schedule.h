/* schedule.h -- schedule files: what was measured to be the best schedule of a kernel, one line each
 *
 *   cnnc schedules 1
 *   # conv2d_1+pool+relu
 *   8c31f0e2a95b7d64 x86-64-v4 0.1.0 : tile : loop a0 a3/32 a1 unroll a2 a3/16 vector a3/16 : 118000 AMD EPYC
 *
 * A line is: hash of the kernel's text without names, target, version of cnnc; the pass that takes the schedule; the
 * schedule with the axes as numbers; nanoseconds, and the machine that took them. What follows # is for readers.
 */
#ifndef CNNC_PASSES_SCHEDULE_H
#define CNNC_PASSES_SCHEDULE_H

#include "ir/kernel.h"
#include "ir/names.h"

typedef struct ScheduleLine {
	uint64_t kernel;
	const char *target, *version, *pass, *machine;
	const char *name; /* of the kernel where it was measured */
	KSchedule sched;
	double ns;
	Loc loc;
	bool used;        /* a kernel of this compilation took it */
} ScheduleLine;

typedef struct ScheduleFile {
	Arena *arena;
	ScheduleLine **line;
	int n, room;
	Names *by_key;
} ScheduleFile;

uint64_t schedule_hash(const char *text);
ScheduleFile *schedule_new(Arena *a); /* without lines */
/* The line of the same kernel, target, version and pass becomes this one, else it is added. Texts are copied. */
void schedule_put(ScheduleFile *s, const ScheduleLine *line);
ScheduleLine *schedule_find(const ScheduleFile *s, uint64_t kernel, const char *target, const char *pass); /* NULL: none */
bool schedule_equal(const KSchedule *a, const KSchedule *b);

/* From the text of a file; NULL: reported with its place. Any bytes are safe to read. */
ScheduleFile *schedule_parse(const char *file, const char *text, size_t len, Arena *a, Diag *d);
void schedule_print(const ScheduleFile *s, FILE *f);

#endif
