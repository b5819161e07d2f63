/* fuse.c -- graph to kernels: pointwise and pooling join the nest that feeds them
 *
 * Gives module->program: a buffer for every state, port, result, metric and value that is stored between kernels, and the
 * kernels of each entry in an order that respects every dependence; no schedules, trees or offsets. The graph stays.
 */
#include <string.h>
#include "passes/fuse.h"

int32_t fuse_buffer(Fuse *f, KBuffer b)
{
	KProgram *p = f->program;
	const size_t n = (size_t)p->nbuffers;
	INVARIANT(p->nbuffers < INT32_MAX / 2);
	if (n == 0)
		p->buffer = NEWN(f->arena, KBuffer, 8);
	else if (n >= 8 && (n & (n - 1)) == 0)
		p->buffer = (KBuffer *)arena_grow(f->arena, p->buffer, n, 2 * n, sizeof *p->buffer);
	p->buffer[n] = b;
	return p->nbuffers++;
}

int32_t fuse_slab(Fuse *f, const IrNode *n)
{
	const char *name = n->name ? n->name : arena_printf(f->arena, "%s_%u", ir_ops[n->op].text, n->id);
	return fuse_buffer(f, (KBuffer){ .name = name, .cls = B_SLAB, .type = n->type, .loc = n->loc });
}

static void state_buffers(Fuse *f)
{
	IR_EACH_STATE(f->module, s)
		fuse_buffer(f, (KBuffer){ .name = s->name, .cls = B_STATE, .type = s->type, .state = s, .loc = s->loc });
}

static void port_buffers(Fuse *f)
{
	const IrEntry *e = f->entry;
	f->port_buf = NEWN(f->scratch, int32_t, e->nport + 1);
	for (int i = 0; i < e->nport; i++)
		f->port_buf[i] = fuse_buffer(f, (KBuffer){ .name = e->port[i].name, .cls = B_IN, .type = e->port[i].type,
		                                           .index = i });
}

/* Buffers in memory that the graph names: inputs and states. */
static void source_infos(Fuse *f)
{
	f->info = NEWN(f->scratch, NodeInfo, f->entry->next_id + 1);
	IR_EACH(f->entry, n) {
		NodeInfo *info = fuse_info(f, n);
		info->buf = -1;
		if (n->op == OP_input)
			info->buf = f->port_buf[n->attr.input.port];
		for (int i = 0; n->op == OP_state && i < f->program->nbuffers; i++) {
			if (f->program->buffer[i].state == n->attr.state.of) {
				info->buf = i;
				break;
			}
		}
	}
}

static void counted_scalars(Fuse *f)
{
	KProgram *p = f->program;
	int bound = 0;
	IR_EACH_ENTRY(f->module, e) {
		IR_EACH(e, n)
			bound += n->op == OP_scalar;
	}
	p->counted = NEWN(f->arena, KCounted, bound + 1);
	IR_EACH_ENTRY(f->module, e) {
		IR_EACH(e, n) {
			int i = 0;
			if (n->op != OP_scalar || n->attr.scalar.which < SC_POWER)
				continue;
			const KCounted c = { n->attr.scalar.which, n->attr.scalar.base, n->attr.scalar.every };
			while (i < p->ncounted && !k_counted_eq(&p->counted[i], &c))
				i++;
			p->counted[i] = c;
			p->ncounted += i == p->ncounted;
		}
	}
}

static void fuse_entry(Fuse *f, IrEntry *e, KEntry *out)
{
	f->entry = e;
	f->group = f->last_group = NULL;
	f->frames = NULL;
	f->stamp = 0;
	*out = (KEntry){ .name = e->name, .graph = e };
	port_buffers(f);
	source_infos(f);
	fuse_groups(f);
	fuse_kernels(f, out);
}

bool pass_fuse(IrModule *m, PassCx *cx)
{
	KProgram *p = NEW(m->arena, KProgram);
	Fuse f = { .module = m, .program = p, .scratch = cx->scratch, .arena = m->arena };
	INVARIANT(m->max_n > 0);
	m->program = p;
	IR_EACH_ENTRY(m, e)
		p->nentries++;
	p->entry = NEWN(m->arena, KEntry, p->nentries + 1);
	state_buffers(&f);
	counted_scalars(&f);
	int i = 0;
	IR_EACH_ENTRY(m, e)
		fuse_entry(&f, e, &p->entry[i++]);
	return true;
}
