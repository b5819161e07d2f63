/* pretrained.c -- `model.weights`, `base.weights`: does the safetensors file fit the model, or its base?
 *
 * Compares names, shapes and types with the states of the module, or of the base's layers, and lists what is missing, unexpected or misshapen, with the
 * nearest names. The file is mapped, not copied; who makes the programs puts it into them.
 */
#include "frontend/build.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/safetensors.h"

enum { LISTED = 8 };

typedef struct Found { const char *text; int n; } Found;

static void found(Arena *a, Found *f, const char *item)
{
	if (f->n++ < LISTED)
		f->text = arena_printf(a, "%s%s%s", f->text ? f->text : "", f->text ? ", " : "", item);
}

static void note(Diag *d, const char *lead, const Found *f)
{
	if (f->n > LISTED)
		diag_note(d, lead, "%s and %d more", f->text, f->n - LISTED);
	else if (f->n)
		diag_note(d, lead, "%s", f->text);
}

static bool same_shape(const IrType *t, const RtStTensor *s)
{
	bool same = t->rank == s->rank;
	for (int i = 0; same && i < t->rank; i++)
		same = t->dim[i] == s->dim[i];
	return same;
}

static bool same_dtype(DType t, RtStDType s)
{
	static const RtStDType of[DT_COUNT] = { RT_ST_F32, RT_ST_F64, RT_ST_I32, RT_ST_U32, RT_ST_U8, RT_ST_BOOL, RT_ST_BF16 };
	return of[t] == s || (t == DT_F32 && (s == RT_ST_F64 || s == RT_ST_F16 || s == RT_ST_BF16));
}

static const char *shape_text(Arena *a, const RtStTensor *s)
{
	IrType t = { .rank = s->rank < IR_MAX_RANK ? s->rank : IR_MAX_RANK };
	for (int i = 0; i < t.rank; i++)
		t.dim[i] = (int32_t)s->dim[i];
	return ir_shape_text(a, &t);
}

/* Whether the state belongs to a layer of the application; NULL: of any. */
static bool is_of(const Model *m, const ZooUse *part, const IrState *s)
{
	const size_t n = strcspn(s->name, ".");
	for (int i = part ? part->first : 0; part && i < part->first + part->n; i++) {
		if (strncmp(m->layer[i].name, s->name, n) == 0 && m->layer[i].name[n] == '\0')
			return true;
	}
	return !part;
}

static void compare(const Model *m, const RtSafetensors *st, const ZooUse *part, const char *path, Loc at)
{
	Arena *a = m->arena;
	Found missing = { 0 }, unexpected = { 0 }, misshapen = { 0 };
	const char **names = NEWN(a, const char *, st->ntensors + 1);
	for (int i = 0; i < st->ntensors; i++) {
		names[i] = st->tensor[i].name;
		const IrState *s = ir_state_find(m->module, names[i]);
		if (!s || !is_of(m, part, s))
			found(a, &unexpected, names[i]);
	}
	IR_EACH_STATE(m->module, s) {
		if (!is_of(m, part, s))
			continue;
		const RtStTensor *t = rt_st_find(st, s->name);
		const char *near = t ? NULL : diag_nearest(s->name, names, (size_t)st->ntensors);
		if (!t)
			found(a, &missing, near ? arena_printf(a, "%s (the file has %s)", s->name, near) : s->name);
		else if (!same_shape(&s->type, t))
			found(a, &misshapen, arena_printf(a, "%s %s instead of %s", s->name, shape_text(a, t), ir_shape_text(a, &s->type)));
		else if (!same_dtype(s->type.dtype, t->dtype))
			found(a, &misshapen, arena_printf(a, "%s is %s, not %s", s->name, rt_st_dtype_name(t->dtype), dtype_name(s->type.dtype)));
	}
	if (missing.n + unexpected.n + misshapen.n == 0)
		return;
	diag_error(m->diag, at, "%s does not fit %s", path, part ? part->application->name : "this model");
	note(m->diag, "missing", &missing);
	note(m->diag, "unexpected", &unexpected);
	note(m->diag, "misshapen", &misshapen);
}

static void check_bytes(const Model *m, const void *bytes, size_t length, const ZooUse *part, const char *path, Loc at)
{
	RtSafetensors st;
	if (rt_st_parse(bytes, length, &st) != RT_OK) {
		diag_error(m->diag, at, "%s: %s", path, rt_message());
		return;
	}
	compare(m, &st, part, path, at);
	rt_st_free(&st);
}

/* Path of the file, checked; misfits are reported. */
static const char *check_file(const Model *m, const Val *v, const ZooUse *part, const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *path = *v->s == '/' || !slash ? v->s : arena_printf(m->arena, "%.*s/%s", (int)(slash - file), file, v->s);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
		diag_error(m->diag, v->loc, "cannot read %s: %s", path, fd < 0 ? strerror(errno) : "not a file with weights");
	} else {
		void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED) {
			diag_error(m->diag, v->loc, "cannot map %s: %s", path, strerror(errno));
		} else {
			check_bytes(m, bytes, (size_t)st.st_size, part, path, v->loc);
			munmap(bytes, (size_t)st.st_size);
		}
	}
	if (fd >= 0)
		close(fd);
	return path;
}

const char *weights_check(const Model *m, const char *file, bool *whole)
{
	const Val *all = val(m->model, "weights"), *base = val(m->model, "base");
	const Val *part = base->kind == VAL_OBJECT ? val(base, "weights") : NULL;
	const bool given = part && part->kind == VAL_STRING;
	*whole = !given;
	if (given && all->kind == VAL_STRING)
		diag_error(m->diag, part->key, "model.weights and base.weights are both given; the first says it all");
	if (given)
		return check_file(m, part, &m->use[0], file);
	return all->kind == VAL_STRING ? check_file(m, all, NULL, file) : NULL;
}
