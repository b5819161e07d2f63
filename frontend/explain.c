/* explain.c -- entries that say what an answer rests on: gradients of a class' score, made of the forward graph and the gradient rules
 *
 *   predict_grad_cam              x u8 pictures, y f32[N,C] -> f32[N,h,w]: relu(sum over channels of mean over places of
 *                                 d(score)/dA, times A), A the last values that have places (Selvaraju et al. 2017)
 *   predict_integrated_gradients  x, y, alpha f32[N,1,1,1] -> f32[N,H,W]: d(score)/d(input) at alpha * input, times input, summed
 *                                 over channels; its mean over alpha in (0, 1) explains score(input) - score(0) (Sundararajan et al. 2017)
 *
 * score = sum of y times what the last sigmoid or softmax was taken of. A path is added up by the runtime.
 */
#include "frontend/build.h"

#include <string.h>

static bool has_places(const IrType *t)
{
	return t->rank == 4 && ir_batched(t) && t->dtype == DT_F32 && t->dim[1] * (int64_t)t->dim[2] > 1;
}

/* The last layer whose values have places; of a pooling, what is pooled: it says the same more finely. -1: there is none. */
static int last_places(const Model *m)
{
	int at = m->outputs[0];
	while (at >= 0 && !has_places(&m->layer[at].out))
		at--;
	while (at >= 0 && !m->layer[at].kind->states && m->layer[at].nin == 1 && m->layer[at].in[0] >= 0 &&
	       has_places(&m->layer[m->layer[at].in[0]].out) &&
	       m->layer[m->layer[at].in[0]].out.dim[1] > m->layer[at].out.dim[1])
		at = m->layer[at].in[0];
	return at;
}

static bool wants(const Model *m, const char *method)
{
	const Val *v = val(val(m->top, "predict"), "explain");
	for (int i = 0; v->kind == VAL_LIST && i < v->n; i++) {
		if (strcmp(v->item[i].s, method) == 0)
			return true;
	}
	return false;
}

bool explain_check(Model *m)
{
	const Val *v = val(val(m->top, "predict"), "explain");
	if (v->kind != VAL_LIST)
		return true;
	if (!m->pictures || m->nfurther > 0)
		return diag_error(m->diag, v->loc, "predict.explain is for models of pictures, one a sample");
	if (m->layer[m->outputs[0]].out.rank != 2)
		return diag_error(m->diag, v->loc, "predict.explain needs a score for each class, and the output is %s",
		                  ir_shape_text(m->arena, &m->layer[m->outputs[0]].out));
	if (wants(m, "grad_cam") && last_places(m) < 0)
		return diag_error(m->diag, v->loc, "grad_cam needs a layer with height and width; use integrated_gradients");
	return true;
}

/* d(score)/d(of), nodes behind the end of the entry. Reverse accumulation through what depends on `of`. */
static IrNode *gradient(Build *b, IrNode *score, const IrNode *of)
{
	IrEntry *e = b->e;
	IrNode *last = e->last, **grad = NEWN(b->m->arena, IrNode *, e->next_id);
	bool *leads = NEWN(b->m->arena, bool, e->next_id);
	IR_EACH(e, n) {
		leads[n->id] = n == of;
		for (int i = 0; i < n->nin && n->type.dtype == DT_F32; i++)
			leads[n->id] |= leads[n->in[i]->id];
	}
	grad[score->id] = node_k(b, 1);
	for (IrNode *n = last; n && n != of; n = n->prev) {
		bool *need = NEWN(b->m->arena, bool, n->nin + 1);
		IrNode **din = NEWN(b->m->arena, IrNode *, n->nin + 1);
		for (int i = 0; i < n->nin; i++)
			need[i] = leads[n->in[i]->id];
		if (!leads[n->id] || !grad[n->id])
			continue;
		if (!ir_grad(e, b->m->diag, n, grad[n->id], need, din))
			return NULL;
		for (int i = 0; i < n->nin; i++) {
			IrNode **sum = &grad[n->in[i]->id];
			if (din[i])
				*sum = *sum ? node2(b, OP_add, *sum, din[i]) : din[i];
		}
	}
	return grad[of->id];
}

static IrNode *input_of(Build *b, const char *name, int rank, const int32_t *dim)
{
	return ir_input(b->e, b->loc, ir_port_new(b->e, name, ir_type(DT_F32, rank, dim)));
}

/* y picks the class before sigmoid or softmax, which would hide what speaks for the others. */
static IrNode *score_of(Build *b, IrNode *logits, IrNode *y)
{
	int out = b->m->outputs[0];
	IrNode *z = logits ? logits : b->value[out];
	return node_reduce(b, OP_sum, node2(b, OP_mul, z, y), 3, false);
}

/* The layers on `x`; what the output's sigmoid or softmax was taken of, or NULL. */
static IrNode *emit_on(Build *b, IrNode *x)
{
	entries_layers(b, x);
	return b->logits_of == b->value[b->m->outputs[0]] ? b->logits : NULL;
}

static bool emit_grad_cam(Model *m)
{
	Build b = entries_start(m, "predict_grad_cam");
	const IrType *out = &m->layer[m->outputs[0]].out;
	IrNode *y = input_of(&b, "y", 2, out->dim), *logits = emit_on(&b, pictures_emit(&b));
	IrNode *a = b.value[last_places(m)], *g = gradient(&b, score_of(&b, logits, y), a);
	if (!g)
		return false;
	IrNode *weight = node_scaled(&b, node_reduce(&b, OP_sum, g, 6, true), 1.0 / ((double)a->type.dim[1] * a->type.dim[2]));
	IrNode *map = node_reduce(&b, OP_sum, node2(&b, OP_mul, weight, a), 8, false);
	ir_root_new(b.e, (IrRoot){.kind = ROOT_OUTPUT, .name = "map", .value = node1(&b, OP_relu, map)});
	return true;
}

static bool emit_integrated(Model *m)
{
	Build b = entries_start(m, "predict_integrated_gradients");
	const IrType *out = &m->layer[m->outputs[0]].out;
	IrNode *y = input_of(&b, "y", 2, out->dim), *alpha = input_of(&b, "alpha", 4, (int32_t[]){IR_N, 1, 1, 1});
	IrNode *x = pictures_emit(&b), *at = node2(&b, OP_mul, x, alpha);
	IrNode *logits = emit_on(&b, at), *g = gradient(&b, score_of(&b, logits, y), at);
	if (!g)
		return false;
	IrNode *map = node_reduce(&b, OP_sum, node2(&b, OP_mul, g, x), 8, false);
	ir_root_new(b.e, (IrRoot){.kind = ROOT_OUTPUT, .name = "map", .value = map});
	return true;
}

bool explain_emit(Model *m)
{
	return (!wants(m, "grad_cam") || emit_grad_cam(m)) && (!wants(m, "integrated_gradients") || emit_integrated(m));
}
