/* precision.c -- mixed_bfloat16: large contractions multiply pairs of bf16
 *
 * in:   kernels, all f32; a module that asks for it      out: kernels whose factors are bf16; copies and views that hold them
 * not:  sums, results, states, everything pointwise: they stay f32
 *
 *   sum(… c) x[…, c] * w[…, c, …, k]   becomes   sum(… c p) f32(x'[…, 2c+p]) * f32(w'[…, c, k, p]),   p: 2
 *
 * x' is x rounded to nearest: stored by the kernels that make x, beside x or, where nobody else reads x, instead of it. w' is a
 * view of w with its pairs side by side, made once a call. A sum of odd length gets a zero behind both.
 *
 * Where no summed axis runs through x's memory by ones (gradients of weights sum over pixels), pairs of rows are put side by side:
 *
 *   sum(h …) x[h+r, …, c] * d[h, …, k]   becomes   sum(h … p) f32(x'[2h+r, …, c, p]) * f32(d'[h, …, k, p])
 *
 * with x'[i, …, c, p] = x[i+p, …, c]: each row twice.
 *
 * Of few channels, columns and channels of a kernel's row are one axis first (precision_row.c):
 *
 *   sum(r s c) x[h+r, w+s, c] * w[r, s, c, k]   becomes   sum(r e p) f32(x'[h+r, C·w + 2e+p]) * f32(w'[r, e, k, p])
 *
 * whose pairs begin at odd elements, too. x' has the zeros of the border. A sum of odd length reads a neighbour of its last
 * element and takes it times zero: an infinity or NaN in it is seen there as well.
 *
 * Which CPU will run it does not matter here (those without such instructions widen), so a model computes the same function on
 * all of them. Matrix instructions of a GPU need no pairs: there both factors are copies as they are, of products that are worth it.
 */
#include "passes/passes.h"
#include "passes/precision.h"
#include "passes/rewrite.h"
#include <string.h>

/* Cycles: multiply-adds of a vector, one of the two pipes a step; an element of a copy stored on the way, of one made on its own,
 * of a view. The instruction does two multiply-adds in the time of one. */
static const double FMAS = 2 * K_LANES, STORED = 0.15, COPIED = 1, VIEWED = 0.6;

/* How elements of a buffer lie in their bf16 form: its dimensions in order but the lanes' one, then that, then the pairs. */
typedef struct Form {
	int source;
	IrType seen;                  /* of the source, as its reader sees it */
	int pair_dim, lane_dim;       /* pair_dim -1: as they are, with a zero behind an odd last dimension */
	int32_t distance, lo, extent; /* pairs (lo+i, lo+i+distance), i < extent; distance 0: (2i, 2i+1) */
	bool run;                     /* as they are, of the last dimension lo+i, i < extent */
} Form;

typedef struct Copy { /* a form in one entry */
	const KEntry *entry;
	Form form;
	int buffer;
	struct Copy *next;
} Copy;

typedef struct Precision {
	IrModule *m;
	KEntry *e;
	Copy *copies;
	int position; /* of the kernel being rewritten */
} Precision;

typedef struct Pairing { /* what is to become of one product */
	int stage, axis, lanes, splat, vector; /* axis: summed, to be split; lanes: of the result; loads */
	bool padded;                           /* the sum's length is odd */
	bool made;                             /* the kernels that make the splat's buffer store its form, too */
	Form splat_form, vector_form;
	int splat_buffer, vector_buffer, p;    /* p: the new axis of extent 2 */
} Pairing;

/* ---- which products ---- */

/* The one dimension that the axis moves; -1: none, several, or an index that is gathered. */
static int moved_dim(const Kernel *k, int x, int axis)
{
	const KExpr *e = &k->expr[x];
	int dim = -1;
	for (int d = 0; d < k->opnd[e->operand].type.rank; d++) {
		if (e->at[d].expr >= 0 || (e->at[d].coef[axis] && dim >= 0))
			return -1;
		dim = e->at[d].coef[axis] ? d : dim;
	}
	return dim;
}

/* The same where it moves by ones and everything else by even distances, so that pairs along it begin at even places. The
 * dimension is even, or the axis runs over all of it and gets a zero behind. */
static int paired_dim(const Kernel *k, int x, int axis)
{
	int dim = moved_dim(k, x, axis);
	if (dim < 0)
		return -1;
	const KIndex *at = &k->expr[x].at[dim];
	int32_t extent = k->axis[axis].extent, size = k->opnd[k->expr[x].operand].type.dim[dim];
	bool alone = true, even = at->c0 % 2 == 0 && at->coef[axis] == 1 && size != IR_N;
	for (int a = 0; a < k->naxes; a++) {
		alone &= a == axis || !at->coef[a];
		even &= a == axis || at->coef[a] % 2 == 0;
	}
	bool whole = extent % 2 == 0 ? size % 2 == 0 : alone && at->c0 == 0 && size == extent;
	return even && whole ? dim : -1;
}

/* Is the axis in the indices of these two loads only? */
static bool only_there(const Kernel *k, const Pairing *w)
{
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *e = &k->expr[i];
		int n = e->op == K_LOAD ? k->opnd[e->operand].type.rank : e->op == K_AXIS ? 1 : 0;
		for (int d = 0; d < n && i != w->splat && i != w->vector; d++) {
			if (e->at[d].coef[w->axis])
				return false;
		}
	}
	return true;
}

/* The axis that runs along the vector factor's lanes: the last of the result that the splat does not have. */
static int lanes_of_result(const Kernel *k, const Pairing *w)
{
	const KStage *s = &k->stage[w->stage];
	for (int i = 0; i < k->nstages; i++) {
		const KStage *st = &k->stage[i];
		if (st->kind == S_REDUCE || k->opnd[st->operand].type.rank == 0)
			continue;
		const KIndex *last = &st->at[k->opnd[st->operand].type.rank - 1];
		for (int a = 0; a < k->naxes; a++) {
			if (last->coef[a] == 1 && k->axis[a].ext == EXT_CONST && s->over >> a & 1 && !(k->expr[w->splat].axes >> a & 1))
				return a;
		}
		return -1;
	}
	return -1;
}

/* The vector factor with pairs beside its lanes. */
static bool vector_pairs(const Kernel *k, Pairing *w)
{
	const KExpr *y = &k->expr[w->vector];
	const KOperand *o = &k->opnd[y->operand];
	w->lanes = lanes_of_result(k, w);
	w->vector_form = (Form){.source = o->buf, .seen = o->type, .pair_dim = paired_dim(k, w->vector, w->axis),
	                        .lane_dim = w->lanes >= 0 ? moved_dim(k, w->vector, w->lanes) : -1};
	const Form *f = &w->vector_form;
	return f->pair_dim >= 0 && f->lane_dim >= 0 && f->lane_dim != f->pair_dim && y->edge == EDGE_NEVER &&
	       y->at[f->lane_dim].coef[w->lanes] == 1 && o->type.dim[f->lane_dim] != IR_N && o->type.rank < IR_MAX_RANK;
}

/* The splat as it is: the axis walks its memory by ones. */
static bool splat_as_it_is(const Kernel *k, Pairing *w)
{
	const KExpr *x = &k->expr[w->splat];
	const KOperand *o = &k->opnd[x->operand];
	w->splat_form = (Form){.source = o->buf, .seen = o->type, .pair_dim = -1, .lane_dim = -1};
	return o->type.rank > 0 && paired_dim(k, w->splat, w->axis) == o->type.rank - 1;
}

/* The splat's rows with what else the pairs reach: zeros around them. A pair begins anywhere. */
static bool splat_by_runs(const Kernel *k, Pairing *w)
{
	const KExpr *x = &k->expr[w->splat];
	const KOperand *o = &k->opnd[x->operand];
	const int last = o->type.rank - 1;
	int64_t lo, hi;
	if (last < 1 || 2 * k->axis[w->lanes].extent < K_LANES || moved_dim(k, w->splat, w->axis) != last || x->at[last].coef[w->axis] != 1 || o->type.dim[last] == IR_N ||
	    !k_index_range(k, &x->at[last], &lo, &hi) || hi - lo >= 2 * (int64_t)o->type.dim[last])
		return false;
	w->splat_form = (Form){.source = o->buf, .seen = o->type, .pair_dim = -1, .lane_dim = -1,
	                       .lo = (int32_t)lo, .extent = (int32_t)(hi - lo + 1 + w->padded), .run = true};
	return true;
}

/* The splat with rows that meet in a sum side by side. */
static bool splat_by_rows(const Kernel *k, Pairing *w)
{
	const KExpr *x = &k->expr[w->splat];
	const KOperand *o = &k->opnd[x->operand];
	int dim = moved_dim(k, w->splat, w->axis);
	int64_t lo, hi;
	if (dim < 0 || x->at[dim].coef[w->axis] < 1 || o->type.dim[dim] == IR_N || o->type.rank == IR_MAX_RANK ||
	    !k_index_range(k, &x->at[dim], &lo, &hi) || hi - lo >= 2 * (int64_t)o->type.dim[dim])
		return false;
	w->splat_form = (Form){.source = o->buf, .seen = o->type, .pair_dim = dim, .lane_dim = -1,
	                       .distance = x->at[dim].coef[w->axis], .lo = (int32_t)lo, .extent = (int32_t)(hi - lo + 1)};
	return true;
}

static bool may_round(const Precision *p, const Kernel *k, int x)
{
	const KExpr *e = &k->expr[x];
	return e->op == K_LOAD && e->type == DT_F32 && !p->m->program->buffer[k->opnd[e->operand].buf].keep_f32;
}

typedef bool SplatForm(const Kernel *, Pairing *);

/* The first summed axis that makes pairs, of even length if possible. */
static bool find_axis(const Kernel *k, Pairing *w, SplatForm *form)
{
	for (int odd = 0; odd < 2; odd++) {
		for (w->axis = 0; w->axis < k->naxes; w->axis++) {
			const KAxis *a = &k->axis[w->axis];
			w->padded = a->extent % 2;
			if (k->stage[w->stage].away >> w->axis & 1 && a->ext == EXT_CONST && a->extent > 1 && w->padded == odd &&
			    only_there(k, w) && vector_pairs(k, w) && form(k, w))
				return true;
		}
	}
	return false;
}

static bool find_pairing(const Precision *p, const Kernel *k, bool runs, Pairing *w)
{
	SplatForm *const form[] = {splat_as_it_is, splat_by_rows};
	for (int i = 0; i < k->nstages && k->naxes < K_MAX_AXES; i++) {
		if (!k_is_contraction(k, &k->stage[i]))
			continue;
		const KExpr *product = &k->expr[k->stage[i].value];
		if (k_readers(k, k->stage[i].value) != 1 || k_readers(k, product->arg[0]) != 1 || k_readers(k, product->arg[1]) != 1)
			continue;
		for (int side = 0; side < 4; side++) {
			*w = (Pairing){.stage = i, .splat = product->arg[side & 1], .vector = product->arg[1 - (side & 1)]};
			if (may_round(p, k, w->splat) && may_round(p, k, w->vector) && k->expr[w->splat].edge <= EDGE_ZERO &&
			    find_axis(k, w, runs ? splat_by_runs : form[side >> 1]))
				return true;
		}
	}
	return false;
}

/* ---- forms ---- */

static IrType form_type(const Form *f)
{
	IrType t = {.dtype = DT_BF16};
	for (int d = 0; d < f->seen.rank; d++) {
		if (d != f->lane_dim)
			t.dim[t.rank++] = d != f->pair_dim ? f->seen.dim[d] : f->distance ? f->extent : (f->seen.dim[d] + 1) / 2;
	}
	if (f->run)
		t.dim[t.rank - 1] = f->extent;
	else if (f->pair_dim < 0)
		t.dim[t.rank - 1] += t.dim[t.rank - 1] % 2;
	if (f->lane_dim >= 0)
		t.dim[t.rank++] = f->seen.dim[f->lane_dim];
	if (f->pair_dim >= 0)
		t.dim[t.rank++] = 2;
	return t;
}

static bool same_form(const Form *a, const Form *b)
{
	return a->source == b->source && a->pair_dim == b->pair_dim && a->lane_dim == b->lane_dim && a->distance == b->distance &&
	       a->lo == b->lo && a->extent == b->extent && a->run == b->run && ir_type_eq(&a->seen, &b->seen);
}

static const Copy *find_copy(const Precision *p, const Form *f)
{
	const Copy *c = p->copies;
	while (c && !(c->entry == p->e && same_form(&c->form, f)))
		c = c->next;
	return c;
}

static bool stores_to(const Kernel *k, int buffer)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind != S_REDUCE && k->opnd[k->stage[i].operand].buf == buffer)
			return true;
	}
	return false;
}

/* Can the kernels that make the buffer in this entry store its copy, too? */
static bool made_here(const Precision *p, int buffer)
{
	bool any = false;
	for (int i = 0; i < p->position; i++) {
		const Kernel *k = p->e->kernel[i];
		if (!stores_to(k, buffer))
			continue;
		any = true;
		for (int j = 0; j < k->nopnds; j++) {
			if (k->opnd[j].buf == buffer && k->opnd[j].mode != M_OUT)
				return false;
		}
	}
	return any && p->m->program->buffer[buffer].cls == B_SLAB;
}

/* ---- whether it pays ---- */

/* Vectors go along the last dimension: short ones cost as much as a whole vector. */
static double price_of(const Precision *p, const Form *f, double element)
{
	IrType t = form_type(f);
	double elems = (double)ir_elems(&t, p->m->max_n), last = t.dim[t.rank - 1] * (f->pair_dim >= 0 ? t.dim[t.rank - 2] : 1);
	return find_copy(p, f) ? 0 : elems * element * (last < K_LANES ? K_LANES / last : 1);
}

static bool pays(const Precision *p, const Kernel *k, const Pairing *w)
{
	const KStage *s = &k->stage[w->stage];
	double points = 1;
	for (int a = 0; a < k->naxes; a++)
		points *= (s->over | s->away) >> a & 1 ? k->axis[a].extent : 1;
	int extent = k->axis[w->axis].extent;
	double left = (extent + 1) / 2 / (double)extent; /* of the instructions */
	const Form *f = &w->splat_form;
	double price = price_of(p, f, w->made || f->run ? STORED : f->distance ? VIEWED : COPIED);
	if (w->vector_form.lane_dim == w->vector_form.seen.rank - 1) /* else pass layout would make a view anyway */
		price += price_of(p, &w->vector_form, VIEWED);
	return points / FMAS * (1 - left) > price;
}

/* ---- making forms ---- */

/* Kernels that store the buffer store its copy, too: the same elements at the same places. */
static void store_twice(Precision *p, int source, int copy)
{
	for (int i = 0; i < p->position; i++) {
		Kernel *k = p->e->kernel[i];
		for (int s = 0, n = k->nstages; s < n; s++) {
			if (k->stage[s].kind != S_STORE || k->opnd[k->stage[s].operand].buf != source)
				continue;
			const KOperand *stored = &k->opnd[k->stage[s].operand];
			IrType t = stored->type;
			t.dtype = DT_BF16;
			int o = k_operand(p->m->arena, k, stored->name, copy, t, M_OUT);
			k_store(p->m->arena, k, o, k->stage[s].at, k_cast(p->m->arena, k, k->stage[s].value, DT_BF16));
		}
		k_finish(k);
	}
}

/* form[…] = bf16(source[…]), zeros outside */
static Kernel *form_kernel(const Precision *p, const char *name, const Form *f, int buffer)
{
	Arena *a = p->m->arena;
	IrType type = form_type(f);
	Kernel *k = k_new(a, name, p->m->program->buffer[f->source].loc);
	KIndex at[IR_MAX_RANK], out[IR_MAX_RANK];
	KEdge edge = EDGE_NEVER;
	int n = 0;
	for (int d = 0; d < f->seen.rank; d++) {
		int32_t extent = d == f->lane_dim ? f->seen.dim[d] : type.dim[n];
		at[d] = k_index_axis(extent == IR_N ? k_axis(a, k, "n", EXT_N, p->m->max_n) : k_axis(a, k, "i", EXT_CONST, extent));
		if (d != f->lane_dim)
			out[n++] = at[d];
	}
	if (f->lane_dim >= 0)
		out[n++] = at[f->lane_dim];
	if (f->pair_dim >= 0) {
		KIndex *pairs = &at[f->pair_dim], half = k_index_axis(k_axis(a, k, "p", EXT_CONST, 2));
		out[n++] = half;
		*pairs = f->distance ? k_index_affine(*pairs, 1, f->lo) : k_index_affine(*pairs, 2, 0);
		*pairs = k_index_plus(*pairs, k_index_affine(half, f->distance ? f->distance : 1, 0));
	}
	if (f->run)
		at[f->seen.rank - 1].c0 += f->lo;
	for (int d = 0; d < f->seen.rank; d++) {
		int64_t lo, hi;
		if (f->seen.dim[d] != IR_N && (!k_index_range(k, &at[d], &lo, &hi) || lo < 0 || hi >= f->seen.dim[d]))
			edge = EDGE_ZERO;
	}
	int x = k_load(a, k, k_operand(a, k, "x", f->source, f->seen, M_IN), at, edge);
	k_store(a, k, k_operand(a, k, "y", buffer, type, M_OUT), out, k_cast(a, k, x, DT_BF16));
	k_finish(k);
	return k;
}

/* The buffer that holds the form; made: by the kernels that make its source. */
static int buffer_of(Precision *p, const Form *f, bool made)
{
	Arena *a = p->m->arena;
	const Copy *known = find_copy(p, f);
	if (known)
		return known->buffer;
	KBuffer src = p->m->program->buffer[f->source];
	const char *name = arena_printf(a, "%s.%s", src.name, f->run ? "runs" : f->pair_dim < 0 ? "bf16" : f->distance ? "rows" : "pairs");
	Copy *c = NEW(a, Copy);
	*c = (Copy){.entry = p->e, .form = *f, .next = p->copies};
	c->buffer = program_buffer(a, p->m->program, (KBuffer){.name = name, .cls = B_SLAB, .type = form_type(f), .loc = src.loc});
	p->copies = c;
	if (made) {
		store_twice(p, f->source, c->buffer);
		return c->buffer;
	}
	entry_insert(a, p->e, src.cls == B_STATE ? 0 : p->position, form_kernel(p, name, f, c->buffer));
	p->position++;
	return c->buffer;
}

/* ---- the product ---- */

/* Index of the load in its form. */
static void form_index(const Rewrite *r, const Pairing *w, const Form *f, const IrType *seen, KIndex *at, KIndex *out)
{
	int n = 0, dim = f->pair_dim < 0 ? seen->rank - 1 : f->pair_dim;
	if (f->pair_dim < 0) {
		at[dim].coef[w->axis] = 2;
		at[dim].coef[w->p] = 1;
		at[dim].c0 -= f->lo;
	} else if (f->distance) {
		at[dim].coef[w->axis] *= 2;
		at[dim].c0 -= f->lo;
	} else {
		for (int a = 0; a < r->to->naxes; a++)
			at[dim].coef[a] = a == w->axis ? 1 : at[dim].coef[a] / 2;
		at[dim].c0 /= 2;
	}
	for (int d = 0; d < seen->rank; d++) {
		if (d != f->lane_dim)
			out[n++] = at[d];
	}
	if (f->lane_dim >= 0)
		out[n++] = at[f->lane_dim];
	if (f->pair_dim >= 0)
		out[n++] = k_index_axis(w->p);
}

static int paired_load(Rewrite *r, int x)
{
	const Pairing *w = r->arg;
	const KExpr *e = &r->from->expr[x];
	KIndex at[IR_MAX_RANK], out[IR_MAX_RANK];
	if (x != w->splat && x != w->vector)
		return -1;
	const KOperand *o = &r->from->opnd[e->operand];
	const Form *f = x == w->splat ? &w->splat_form : &w->vector_form;
	Form seen = *f; /* a copy made on the way has its maker's shape: the same elements */
	seen.seen = o->type;
	rewrite_index(r, e->at, o->type.rank, at);
	form_index(r, w, f, &o->type, at, out);
	int operand = k_operand(r->a, r->to, o->name, x == w->splat ? w->splat_buffer : w->vector_buffer, form_type(&seen), M_IN);
	return k_cast(r->a, r->to, k_load(r->a, r->to, operand, out, e->edge), DT_F32);
}

static int paired_sum(Rewrite *r, int stage)
{
	const Pairing *w = r->arg;
	const KStage *s = &r->from->stage[stage];
	if (stage != w->stage)
		return -1;
	return k_reduce(r->a, r->to, s->name, s->red, s->away | (KSet)1 << w->p, rewrite_expr(r, s->value), s->type);
}

/* Pairs that are worth what they cost. runs: k reads rows of a picture as one axis */
static bool pairs_pay(const Precision *p, const Kernel *k, bool runs, Pairing *w)
{
	if (!find_pairing(p, k, runs, w))
		return false;
	w->made = w->splat_form.pair_dim < 0 && !w->splat_form.run && !w->padded && made_here(p, w->splat_form.source);
	if (w->made)
		w->splat_form.seen = p->m->program->buffer[w->splat_form.source].type;
	return pays(p, k, w);
}

static void pair_kernel(Precision *p)
{
	Pairing w;
	const Kernel *k = p->e->kernel[p->position];
	if (!k->contraction)
		return;
	if (!pairs_pay(p, k, false, &w)) {
		k = row_kernel(p->m->arena, k);
		if (!k || !pairs_pay(p, k, true, &w))
			return;
	}
	w.splat_buffer = buffer_of(p, &w.splat_form, w.made);
	w.vector_buffer = buffer_of(p, &w.vector_form, false);
	Rewrite *r = rewrite_new(p->m->arena, k, k->name, paired_load, paired_sum, &w);
	r->to->axis[w.axis].extent = (k->axis[w.axis].extent + 1) / 2;
	w.p = k_axis(p->m->arena, r->to, "p", EXT_CONST, 2);
	p->e->kernel[p->position] = rewrite_all(r);
}

/* ---- on a GPU: factors as they are ---- */

static Form rounded_form(const Kernel *k, int x)
{
	const KOperand *o = &k->opnd[k->expr[x].operand];
	return (Form){.source = o->buf, .seen = o->type, .pair_dim = -1, .lane_dim = -1};
}

static int rounded_load(Rewrite *r, int x)
{
	const Pairing *w = r->arg;
	const KExpr *e = &r->from->expr[x];
	KIndex at[IR_MAX_RANK];
	if (x != w->splat && x != w->vector)
		return -1;
	const KOperand *o = &r->from->opnd[e->operand];
	const Form seen = rounded_form(r->from, x);
	rewrite_index(r, e->at, o->type.rank, at);
	int operand = k_operand(r->a, r->to, o->name, x == w->splat ? w->splat_buffer : w->vector_buffer, form_type(&seen), M_IN);
	return k_cast(r->a, r->to, k_load(r->a, r->to, operand, at, e->edge), DT_F32);
}

/* Elements that rounding would have to copy; *made: those that make the factor store it rounded, too. */
static double to_copy(const Precision *p, const Kernel *k, int x, Form *form, bool *made)
{
	*form = rounded_form(k, x);
	const bool even = form->seen.dim[form->seen.rank - 1] % 2 == 0;
	const IrType *whole = &p->m->program->buffer[form->source].type;
	*made = even && whole->dim[whole->rank - 1] % 2 == 0 && made_here(p, form->source);
	if (*made)
		form->seen = *whole;
	return *made || find_copy(p, form) ? 0 : (double)ir_elems(&form->seen, p->m->max_n);
}

/* Matrix instructions take both factors as bf16 from memory. Products that read few elements many times pay for copies. */
static void round_factors(Precision *p)
{
	enum { READS = 64 };
	const Kernel *k = p->e->kernel[p->position];
	Pairing w = {.stage = -1};
	bool vector_made;
	double points = 1;
	for (int i = 0; k->contraction && i < k->nstages; i++)
		w.stage = w.stage < 0 && k_is_contraction(k, &k->stage[i]) ? i : w.stage;
	if (w.stage < 0)
		return;
	const KStage *s = &k->stage[w.stage];
	w.splat = k->expr[s->value].arg[0];
	w.vector = k->expr[s->value].arg[1];
	for (int a = 0; a < k->naxes; a++)
		points *= (s->over | s->away) >> a & 1 ? k->axis[a].extent : 1;
	if (!may_round(p, k, w.splat) || !may_round(p, k, w.vector) || k->expr[w.splat].edge > EDGE_ZERO || k->expr[w.vector].edge > EDGE_ZERO)
		return;
	const double copied = to_copy(p, k, w.splat, &w.splat_form, &w.made) + to_copy(p, k, w.vector, &w.vector_form, &vector_made);
	if (points < READS * copied)
		return;
	w.splat_buffer = buffer_of(p, &w.splat_form, w.made);
	w.vector_buffer = buffer_of(p, &w.vector_form, vector_made);
	p->e->kernel[p->position] = rewrite_all(rewrite_new(p->m->arena, k, k->name, rounded_load, NULL, &w));
}

/* ---- values that nobody reads any more ---- */

static bool read_in(const KEntry *e, int buffer)
{
	for (int i = 0; i < e->nkernels; i++) {
		for (int o = 0; o < e->kernel[i]->nopnds; o++) {
			const KOperand *op = &e->kernel[i]->opnd[o];
			if (op->buf == buffer && op->mode != M_OUT)
				return true;
		}
	}
	return false;
}

static void drop_stores(Precision *p, int buffer)
{
	for (int i = 0; i < p->e->nkernels; i++) {
		const Kernel *k = p->e->kernel[i];
		if (!stores_to(k, buffer))
			continue;
		Rewrite *r = rewrite_new(p->m->arena, k, k->name, NULL, NULL, NULL);
		for (int s = 0; s < k->nstages; s++) {
			if (k->stage[s].kind != S_REDUCE && k->opnd[k->stage[s].operand].buf != buffer)
				rewrite_store(r, s);
		}
		k_finish(r->to);
		p->e->kernel[i] = r->to;
	}
}

bool pass_precision(IrModule *m, PassCx *cx)
{
	Precision p = {.m = m};
	const bool gpu = cx->target.kind == TARGET_CUDA;
	for (int i = 0; m->precision == PRECISION_MIXED_BF16 && i < m->program->nentries; i++) {
		p.e = &m->program->entry[i];
		for (p.position = 0; p.position < p.e->nkernels; p.position++)
			(gpu ? round_factors : pair_kernel)(&p);
		for (const Copy *c = p.copies; c; c = c->next) {
			if (c->entry == p.e && m->program->buffer[c->form.source].cls == B_SLAB && !read_in(p.e, c->form.source))
				drop_stores(&p, c->form.source);
		}
	}
	return true;
}
