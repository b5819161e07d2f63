/* pretrained.c -- `model.weights`, `base.weights`: does the file fit the model, or its base, and which tensor is which weight?
 *
 * Names are compared as they are, then without what they lie in (`base.conv1.kernel` of a model inside a model); `layer.0` is
 * the first variable of a layer, as Keras 3 counts them. What is missing, unexpected or misshapen is listed with the nearest
 * names; nothing is guessed from order or shape. A file that is not native safetensors is converted where programs are made.
 */
#include "frontend/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontend/frontend.h"
#include "frontend/weight_file.h"

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

/* ---- the weights that are wanted ---- */
typedef struct Wanted {
	const IrState *state;
	int tensor;              /* of the file; -1: none */
	int order;               /* in the module */
} Wanted;

typedef struct Match {
	const Model *m;
	const WeightFile *file;
	Wanted *want;            /* by name */
	int nwant;
	const IrState **ordered; /* the same, as the module has them */
	bool renamed;            /* a tensor has another name than its weight */
	Found missing, unexpected, misshapen;
} Match;

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

static int by_name(const void *a, const void *b)
{
	const Wanted *x = a, *y = b;
	return strcmp(x->state->name, y->state->name);
}

static void collect(Match *x, const ZooUse *part)
{
	int n = 0;
	IR_EACH_STATE(x->m->module, s)
		n++;
	x->want = NEWN(x->m->arena, Wanted, n + 1);
	x->ordered = NEWN(x->m->arena, const IrState *, n + 1);
	IR_EACH_STATE(x->m->module, s) {
		if (s->kind == STATE_MOMENT || !is_of(x->m, part, s))
			continue;
		x->ordered[x->nwant] = s;
		x->want[x->nwant] = (Wanted){ s, -1, x->nwant };
		x->nwant++;
	}
	qsort(x->want, (size_t)x->nwant, sizeof *x->want, by_name);
}

static Wanted *find(const Match *x, const char *name)
{
	const IrState key = { .name = name };
	const Wanted wanted = { .state = &key };
	return bsearch(&wanted, x->want, (size_t)x->nwant, sizeof *x->want, by_name);
}

/* LAYER.2: the third weight of the layer. */
static Wanted *find_counted(const Match *x, const char *name)
{
	const char *dot = strrchr(name, '.');
	const size_t layer = dot ? (size_t)(dot - name) + 1 : 0;
	char *end;
	if (!dot || dot[1] < '0' || dot[1] > '9')
		return NULL;
	const unsigned long number = strtoul(dot + 1, &end, 10);
	if (*end || number >= LAYER_STATES)
		return NULL;
	unsigned long seen = 0;
	for (int i = 0; i < x->nwant; i++) {
		const char *own = x->ordered[i]->name;
		if (strncmp(own, name, layer) == 0 && !strchr(own + layer, '.') && seen++ == number)
			return find(x, own);
	}
	return NULL;
}

/* The weight that a tensor is, by the whole name or by the end of it. */
static Wanted *resolve(const Match *x, const char *name)
{
	char *plain = arena_strdup(x->m->arena, name);
	const size_t n = strlen(plain);
	for (char *p = plain; *p; p++)
		*p = *p == '/' ? '.' : *p;
	if (n > 2 && strcmp(plain + n - 2, ":0") == 0)
		plain[n - 2] = '\0';
	for (const char *p = plain; p; p = strchr(p, '.')) {
		p += *p == '.';
		Wanted *w = find(x, p);
		w = w ? w : find_counted(x, p);
		if (w)
			return w;
	}
	return NULL;
}

static void match(Match *x)
{
	const RtSafetensors *st = &x->file->st;
	for (int i = 0; i < st->ntensors; i++) {
		const char *name = st->tensor[i].name;
		Wanted *w = resolve(x, name);
		if (!w)
			found(x->m->arena, &x->unexpected, name);
		else if (w->tensor >= 0)
			found(x->m->arena, &x->unexpected, arena_printf(x->m->arena, "%s (as %s)", name, st->tensor[w->tensor].name));
		else
			w->tensor = i;
		x->renamed |= !w || strcmp(w->state->name, name) != 0;
	}
}

static void compare(Match *x)
{
	Arena *a = x->m->arena;
	const RtSafetensors *st = &x->file->st;
	const char **names = NEWN(a, const char *, st->ntensors + 1);
	for (int i = 0; i < st->ntensors; i++)
		names[i] = st->tensor[i].name;
	for (int i = 0; i < x->nwant; i++) {
		Wanted *w = find(x, x->ordered[i]->name);
		const IrState *s = w->state;
		const RtStTensor *t = w->tensor >= 0 ? &st->tensor[w->tensor] : NULL;
		const char *near = t || x->missing.n >= LISTED ? NULL : diag_nearest(s->name, names, (size_t)st->ntensors);
		if (t && same_shape(&s->type, t) && same_dtype(s->type.dtype, t->dtype))
			continue;
		w->tensor = -1;
		if (!t)
			found(a, &x->missing, near ? arena_printf(a, "%s (the file has %s)", s->name, near) : s->name);
		else if (!same_shape(&s->type, t))
			found(a, &x->misshapen, arena_printf(a, "%s %s instead of %s", s->name, shape_text(a, t), ir_shape_text(a, &s->type)));
		else
			found(a, &x->misshapen, arena_printf(a, "%s is %s, not %s", s->name, rt_st_dtype_name(t->dtype), dtype_name(s->type.dtype)));
	}
}

/* ---- what is to be converted ---- */
typedef struct Item { const char *name, *tensor; } Item;

struct FeConversion {
	Loc at;
	Item *item;
	int n;
};

static const FeConversion *conversion(const Match *x, Loc at)
{
	FeConversion *c = NEW(x->m->arena, FeConversion);
	*c = (FeConversion){ .at = at, .item = NEWN(x->m->arena, Item, x->nwant + 1) };
	for (int i = 0; i < x->nwant; i++) {
		const Wanted *w = find(x, x->ordered[i]->name);
		if (w->tensor >= 0)
			c->item[c->n++] = (Item){ w->state->name, arena_strdup(x->m->arena, x->file->st.tensor[w->tensor].name) };
	}
	return c;
}

static void check(const Model *m, const WeightFile *f, const ZooUse *part, const char *path, Loc at, FeWeights *out)
{
	Match x = { .m = m, .file = f };
	collect(&x, part);
	match(&x);
	compare(&x);
	const bool differs = x.missing.n + x.unexpected.n + x.misshapen.n > 0, skip = val_bool(m->model, "skip_mismatch");
	if (differs && skip)
		diag_warning(m->diag, at, "%s does not fit %s in everything; what does not is skipped", path,
		             part ? part->application->name : "this model");
	else if (differs)
		diag_error(m->diag, at, "%s does not fit %s", path, part ? part->application->name : "this model");
	note(m->diag, "missing", &x.missing);
	note(m->diag, "unexpected", &x.unexpected);
	note(m->diag, "misshapen", &x.misshapen);
	out->whole = !part && x.missing.n + x.misshapen.n == 0;
	if (differs || x.renamed || strcmp(f->format, "safetensors") != 0)
		out->conversion = conversion(&x, at);
}

static void check_file(const Model *m, const Val *v, const ZooUse *part, const char *file, FeWeights *out)
{
	const char *slash = strrchr(file, '/');
	WeightFile f;
	out->path = *v->s == '/' || !slash ? v->s : arena_printf(m->arena, "%.*s/%s", (int)(slash - file), file, v->s);
	if (!weight_file_open(out->path, true, v->loc, m->arena, m->diag, &f))
		return;
	check(m, &f, part, out->path, v->loc, out);
	weight_file_close(&f);
}

FeWeights weights_check(const Model *m, const char *file)
{
	const Val *all = val(m->model, "weights"), *base = val(m->model, "base");
	const Val *part = base->kind == VAL_OBJECT ? val(base, "weights") : NULL;
	const bool given = part && part->kind == VAL_STRING;
	FeWeights out = { .path = NULL };
	if (given && all->kind == VAL_STRING)
		diag_error(m->diag, part->key, "model.weights and base.weights are both given; the first says it all");
	else if (given)
		check_file(m, part, &m->use[0], file, &out);
	else if (all->kind == VAL_STRING)
		check_file(m, all, NULL, file, &out);
	return out;
}

/* ---- converting ---- */
static bool write_native(FILE *f, const RtStTensor *t, int n)
{
	unsigned char *header = NULL;
	size_t length = 0;
	if (rt_st_header(t, n, (const char *const[]){ "producer", "cnnc " CNNC_VERSION, NULL }, &header, &length) != RT_OK)
		return false;
	bool ok = fwrite(header, 1, length, f) == length;
	free(header);
	for (int i = 0; ok && i < n; i++)
		ok = fwrite(t[i].data, 1, t[i].bytes, f) == t[i].bytes;
	return ok;
}

static bool save(const WeightFile *f, const FeConversion *c, const char *path, Arena *a, Diag *d)
{
	RtStTensor *t = NEWN(a, RtStTensor, c->n + 1);
	for (int i = 0; i < c->n; i++) {
		const RtStTensor *from = rt_st_find(&f->st, c->item[i].tensor);
		if (!from)
			return diag_error(d, c->at, "%s changed while it was read", path);
		t[i] = *from;
		t[i].name = c->item[i].name;
	}
	FILE *out = fopen(path, "wb");
	bool ok = out && write_native(out, t, c->n);
	ok = out && fclose(out) == 0 && ok;
	return ok || diag_error(d, (Loc){ 0 }, "cannot write %s: %s", path, strerror(errno));
}

bool fe_weights_convert(const FeWeights *w, const char *path, Diag *d)
{
	WeightFile f;
	Arena *a = arena_new();
	bool ok = weight_file_open(w->path, false, w->conversion->at, a, d, &f);
	if (ok) {
		ok = save(&f, w->conversion, path, a, d);
		weight_file_close(&f);
	}
	arena_free(a);
	return ok;
}

/* ---- listing ---- */
bool fe_weights_list(const char *path, FILE *out, Diag *d)
{
	WeightFile f;
	Arena *a = arena_new();
	const bool ok = weight_file_open(path, true, (Loc){ 0 }, a, d, &f);
	size_t bytes = 0;
	for (int i = 0; ok && i < f.st.ntensors; i++) {
		const RtStTensor *t = &f.st.tensor[i];
		fprintf(out, "%-4s (", rt_st_dtype_name(t->dtype));
		for (int k = 0; k < t->rank; k++)
			fprintf(out, "%s%lld", k ? ", " : "", (long long)t->dim[k]);
		fprintf(out, ")\t%s\n", t->name);
		bytes += t->bytes;
	}
	if (ok) {
		fprintf(out, "%s: %d tensors, %zu bytes\n", f.format, f.st.ntensors, bytes);
		weight_file_close(&f);
	}
	arena_free(a);
	return ok;
}
