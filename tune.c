/* tune.c -- `--tune`: each kernel's schedules measured where they run
 *
 * Pass tile lists, for each distinct kernel, its own choice and the next cheapest ones by its cost model. Round r compiles the whole
 * model with the r-th of each and times every kernel within its tree on one thread, so a round serves all kernels at once. What
 * seems best is then measured against the untuned program in turn, A B A B, and kept where it is faster there too.
 * All schedules listed add in the same order, so a tuned program computes the same bits.
 */
#include "tune.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "bench_limits.h"
#include "bench_run.h"
#include "runtime/train.h"

enum { CHOICES = 12, ROUND_MS = 300, TURNS = 3, EXIT_USAGE = 2, EXIT_IO = 4 };
static const double WORTH = 0.98, WORTH_NS = 100; /* a schedule is changed for at least this much */

typedef struct Tuned { /* a distinct kernel */
	TileKernel as;
	double ns[CHOICES];    /* all its runs in one call of each entry; INFINITY: not measured */
	double untuned, tuned; /* in turn */
	int best;
} Tuned;

typedef struct Measured { const char *entry; int nkernels, *of; } Measured; /* of: which Tuned each kernel is */

typedef struct Program { /* compiled with some schedules, ready to run */
	CgJit *jit;
	BenchRun run;
} Program;

typedef struct Tuner {
	const Pipeline *p;
	const TuneOptions *o;
	const char *cpu, *target;
	Diag *d;
	Arena *arena;
	ScheduleFile *file;
	TileLog log;
	Tuned *kernel;
	int n, rounds;
	Measured entry[RT_MAX_ENTRIES];
	int nentries;
	double begin;
	const atomic_int *stop;
} Tuner;

/* ---- what there is to measure ---- */

static int find_kernel(const Tuner *t, uint64_t hash)
{
	int i = 0;
	while (i < t->n && t->kernel[i].as.hash != hash)
		i++;
	return i;
}

static void list_kernels(Tuner *t)
{
	t->kernel = NEWN(t->arena, Tuned, t->log.n + 1);
	for (int i = 0; i < t->log.n; i++) {
		int at = find_kernel(t, t->log.kernel[i].hash);
		if (at < t->n)
			continue;
		Tuned *k = &t->kernel[t->n++];
		*k = (Tuned){.as = t->log.kernel[i], .untuned = INFINITY, .tuned = INFINITY};
		for (int c = 0; c < CHOICES; c++)
			k->ns[c] = INFINITY;
	}
}

/* Entries that have kernels to be measured which the ones before lack. */
static void list_entry(Tuner *t, const KEntry *e, bool *seen)
{
	Measured m = {.entry = e->name, .nkernels = e->nkernels, .of = NEWN(t->arena, int, e->nkernels + 1)};
	bool more = false;
	for (int i = 0; i < e->nkernels; i++) {
		int j = 0;
		while (j < t->log.n && t->log.kernel[j].kernel != e->kernel[i])
			j++;
		INVARIANT(j < t->log.n);
		m.of[i] = find_kernel(t, t->log.kernel[j].hash);
		const TileKernel *k = &t->kernel[m.of[i]].as;
		more |= !seen[m.of[i]] && !k->known && k->nchoices > 1;
	}
	if (!more)
		return;
	for (int i = 0; i < e->nkernels; i++) {
		const TileKernel *k = &t->kernel[m.of[i]].as;
		seen[m.of[i]] = true;
		t->rounds = !k->known && k->nchoices > t->rounds ? k->nchoices : t->rounds;
	}
	t->entry[t->nentries++] = m;
}

static void list_entries(Tuner *t, const KProgram *p)
{
	static const char *const name[] = {"train_step", "predict", "evaluate"};
	bool *seen = NEWN(t->arena, bool, t->n + 1);
	for (size_t i = 0; i < COUNT(name); i++) {
		for (int j = 0; j < p->nentries; j++) {
			if (strcmp(p->entry[j].name, name[i]) == 0)
				list_entry(t, &p->entry[j], seen);
		}
	}
}

/* ---- measuring ---- */

static void program_close(Program *x)
{
	if (x->jit)
		bench_run_close(&x->run);
	cg_jit_free(x->jit);
	*x = (Program){.jit = NULL};
}

/* choice: of each kernel. Kernels that are known keep their lines. */
static bool program_open(Tuner *t, const int *choice, Program *out)
{
	Pipeline p;
	Arena *a = arena_new();
	ScheduleFile *s = schedule_new(a);
	for (int i = 0; i < t->n; i++) {
		const Tuned *k = &t->kernel[i];
		if (k->as.nchoices < 1)
			continue;
		ScheduleLine line = {.kernel = k->as.hash, .target = t->target, .version = CNNC_VERSION, .pass = TILE_PASS};
		const ScheduleLine *known = k->as.known ? schedule_find(t->file, k->as.hash, t->target, TILE_PASS) : NULL;
		line.sched = known ? known->sched : k->as.choice[choice[i]];
		schedule_put(s, &line);
	}
	*out = (Program){.jit = NULL};
	bool ok = pipeline_again(t->p, t->cpu, s, NULL, &p, t->d);
	CgModule *c = ok ? pipeline_code(&p, t->d) : NULL;
	out->jit = c ? cg_jit(c, t->d) : NULL;
	ok = out->jit && bench_run_open(&out->run, cg_jit_model(out->jit), 1, t->d);
	pipeline_close(&p);
	arena_free(a);
	return ok;
}

/* Adds up what the runs of each kernel took: ns[t->n], INFINITY where one did not run. */
static bool program_time(Tuner *t, Program *x, double *ns)
{
	for (int i = 0; i < t->n; i++)
		ns[i] = 0;
	for (int e = 0; e < t->nentries; e++) {
		const Measured *m = &t->entry[e];
		double *ms = NEWN(t->arena, double, m->nkernels + 1);
		for (int i = 0; i < m->nkernels; i++)
			ms[i] = INFINITY;
		if (!bench_run_kernels(&x->run, rt_entry(x->run.model, m->entry), ms, (size_t)m->nkernels, ROUND_MS, t->stop, t->d))
			return false;
		for (int i = 0; i < m->nkernels; i++)
			ns[m->of[i]] += ms[i] * 1e6;
	}
	return true;
}

static double elapsed_ms(const Tuner *t)
{
	return now_ms() - t->begin;
}

static void show_progress(const Tuner *t, const char *what, int done, int all)
{
	bool terminal = isatty(STDERR_FILENO);
	fprintf(stderr, "%stuning %d kernels: %s %d of %d, %.0f s%s", terminal ? "\r\033[K" : "", t->n, what, done, all,
	        elapsed_ms(t) * 1e-3, terminal ? "" : "\n");
	if (terminal && done == all)
		fputc('\n', stderr);
}

static int best_choice(const Tuned *k)
{
	int best = 0;
	for (int c = 1; c < k->as.nchoices; c++) {
		if (k->ns[c] < k->ns[best])
			best = c;
	}
	return best;
}

/* Choice r of each kernel, or where there is none its best so far. */
static bool measure_round(Tuner *t, int r, Program *x)
{
	int *choice = NEWN(t->arena, int, t->n + 1);
	double *ns = NEWN(t->arena, double, t->n + 1);
	for (int i = 0; i < t->n; i++)
		choice[i] = r < t->kernel[i].as.nchoices ? r : best_choice(&t->kernel[i]);
	if (!program_open(t, choice, x) || !program_time(t, x, ns))
		return false;
	for (int i = 0; i < t->n; i++) {
		double *best = &t->kernel[i].ns[choice[i]];
		*best = ns[i] > 0 && ns[i] < *best ? ns[i] : *best;
	}
	return true;
}

/* The best of the rounds and the untuned program, in turn. */
static bool measure_in_turn(Tuner *t, Program *untuned)
{
	int *choice = NEWN(t->arena, int, t->n + 1);
	double *ns = NEWN(t->arena, double, t->n + 1);
	Program tuned;
	for (int i = 0; i < t->n; i++)
		choice[i] = t->kernel[i].best = best_choice(&t->kernel[i]);
	bool ok = program_open(t, choice, &tuned);
	for (int turn = 0; ok && turn < 2 * TURNS && !*t->stop; turn++) {
		ok = program_time(t, turn % 2 ? &tuned : untuned, ns);
		for (int i = 0; ok && i < t->n; i++) {
			double *best = turn % 2 ? &t->kernel[i].tuned : &t->kernel[i].untuned;
			*best = ns[i] > 0 && ns[i] < *best ? ns[i] : *best;
		}
	}
	program_close(&tuned);
	return ok;
}

static void settle(Tuner *t)
{
	for (int i = 0; i < t->n; i++) {
		Tuned *k = &t->kernel[i];
		if (!isfinite(k->tuned) || !isfinite(k->untuned)) {
			k->untuned = k->ns[0];
			k->best = best_choice(k);
			k->tuned = k->ns[k->best];
		}
		if (k->best == 0 || k->tuned > WORTH * k->untuned || k->untuned - k->tuned < WORTH_NS) {
			k->best = 0;
			k->tuned = k->untuned;
		}
	}
}

static bool measure(Tuner *t)
{
	Program untuned = {.jit = NULL}, x;
	bool ok = measure_round(t, 0, &untuned);
	double slowest = elapsed_ms(t), limit = t->o->seconds * 1e3;
	int r = 1;
	show_progress(t, "round", r, t->rounds);
	/* the turns in the end take a round's time, too; a first comparison is always made */
	while (ok && r < t->rounds && !*t->stop && (r == 1 || elapsed_ms(t) + 2.2 * slowest < limit)) {
		double begin = now_ms();
		ok = measure_round(t, r++, &x);
		program_close(&x);
		slowest = now_ms() - begin > slowest ? now_ms() - begin : slowest;
		show_progress(t, "round", r, t->rounds);
	}
	if (ok && !*t->stop && r > 1)
		ok = measure_in_turn(t, &untuned);
	if (r < t->rounds)
		fprintf(stderr, "%stuning stopped after %d of %d rounds\n", isatty(STDERR_FILENO) ? "\n" : "", r, t->rounds);
	program_close(&untuned);
	return ok;
}

/* ---- results ---- */

static bool was_measured(const Tuned *k)
{
	return !k->as.known && k->as.nchoices > 1 && isfinite(k->ns[0]) && isfinite(k->ns[1]);
}

static void print_table(const Tuner *t)
{
	FILE *f = t->o->table;
	double logs = 0, before = 0, after = 0;
	int n = 0, known = 0;
	for (int i = 0; i < t->n; i++) {
		const Tuned *k = &t->kernel[i];
		known += k->as.known;
		if (!was_measured(k))
			continue;
		if (n++ == 0)
			fputs("  untuned ns     tuned ns  ratio  kernel: schedule\n", f);
		fprintf(f, "%12.0f %12.0f  %5.3f  %s: ", k->untuned, k->tuned, k->untuned / k->tuned, k->as.kernel->name);
		k_print_schedule(&k->as.choice[k->best], f);
		fputs(k->best ? "\n" : " (as untuned)\n", f);
		logs += log(k->untuned / k->tuned);
		before += k->untuned;
		after += k->tuned;
	}
	if (n)
		fprintf(f, "%d kernels measured: untuned takes %.1f %% more time than tuned (geomean), %.1f %% of all together\n", n,
		        100 * (exp(logs / n) - 1), 100 * (before / after - 1));
	if (known)
		fprintf(f, "%d kernels were known from %s\n", known, t->o->path);
}

static void put_lines(Tuner *t)
{
	const char *machine = limits_cpu(t->arena);
	for (int i = 0; i < t->n; i++) {
		const Tuned *k = &t->kernel[i];
		if (was_measured(k))
			schedule_put(t->file, &(ScheduleLine){.kernel = k->as.hash, .target = t->target, .version = CNNC_VERSION,
			             .pass = TILE_PASS, .machine = machine, .name = k->as.kernel->name,
			             .sched = k->as.choice[k->best], .ns = k->tuned});
	}
}

/* A new file that takes the old one's place when it is complete. */
static bool write_file(const Tuner *t)
{
	const char *path = t->o->path, *fresh = arena_printf(t->arena, "%s.new", path);
	FILE *f = fopen(fresh, "w");
	if (!f)
		return diag_error(t->d, (Loc){0}, "cannot write %s: %s", fresh, strerror(errno));
	schedule_print(t->file, f);
	bool ok = !ferror(f);
	ok = fclose(f) == 0 && ok && rename(fresh, path) == 0;
	if (ok)
		return true;
	diag_error(t->d, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
	unlink(fresh);
	return false;
}

/* ---- the command ---- */

static bool prepare(Tuner *t, Pipeline *listed)
{
	bool mixed = t->p->graph->precision == PRECISION_MIXED_BF16;
	t->cpu = t->p->nlevels == 0 ? t->p->code.cpu : mixed ? cg_cpu_bf16("native", NULL, t->arena) : "native";
	t->file = access(t->o->path, F_OK) == 0 ? pipeline_read_schedules(t->o->path, t->p->arena, t->d) : schedule_new(t->p->arena);
	t->log = (TileLog){.arena = t->arena, .most = CHOICES};
	if (!t->file || !pipeline_again(t->p, t->cpu, t->file, &t->log, listed, t->d))
		return false;
	t->target = arena_strdup(t->arena, listed->target.name);
	list_kernels(t);
	list_entries(t, listed->fe.module->program);
	return true;
}

static int run(Tuner *t, Pipeline *p)
{
	rt_stop_reset();
	rt_stop_on_signals();
	bool ok = t->rounds < 2 || measure(t);
	int number = *t->stop;
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	if (!ok)
		return EXIT_USAGE;
	settle(t);
	print_table(t);
	put_lines(t);
	if (!write_file(t))
		return EXIT_IO;
	fprintf(t->o->table, "wrote %s\n", t->o->path);
	if (number)
		return TUNE_INTERRUPTED + number;
	return pipeline_retake(p, t->file, t->d) ? 0 : EXIT_USAGE;
}

int tune(Pipeline *p, const TuneOptions *o, Diag *d)
{
	Tuner t = {.p = p, .o = o, .d = d, .arena = arena_new(), .begin = now_ms(), .stop = rt_stop_flag()};
	Pipeline listed = {.arena = NULL};
	int code = prepare(&t, &listed) ? run(&t, p) : EXIT_USAGE;
	pipeline_close(&listed);
	arena_free(t.arena);
	return code;
}
