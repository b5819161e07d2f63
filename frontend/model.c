/* model.c -- the list of layers: names, edges, shapes
 *
 * Takes the checked `model` section; gives m->layer with every shape known, or errors at the layer's line with the
 * shapes that led there. Makes no nodes: the entries do (entries.c), once each.
 */
#include "frontend/build.h"

#include <ctype.h>
#include <string.h>

enum { TRACE_SHOWN = 8, LARGEST_HELP = 1024, HELP_WORK = 1 << 18 };

/* ---- names ---- */

/* keras.src.utils.naming.to_snake_case: MaxPooling2D -> max_pooling2d, ReLU -> re_lu */
const char *keras_name(Arena *a, const char *kind)
{
	size_t n = strlen(kind), used = 0;
	char *out = arena_alloc(a, 2 * n + 1, 1);
	for (size_t i = 0; i < n; i++) {
		bool upper = isupper((unsigned char)kind[i]) != 0;
		bool word = upper && i > 0 && islower((unsigned char)kind[i + 1]);
		bool hump = upper && i > 0 && islower((unsigned char)kind[i - 1]);
		if (word || hump)
			out[used++] = '_';
		out[used++] = (char)tolower((unsigned char)kind[i]);
	}
	return out;
}

static bool name_fits(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	}
	return true;
}

static int find_layer(const Model *m, const char *name, int n)
{
	for (int i = 0; i < n; i++) {
		if (m->layer[i].name && strcmp(m->layer[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* conv2d, conv2d_1, …: counted by kind, as Keras does. */
static const char *automatic_name(Model *m, int i)
{
	const SchemaRow *kind = m->layer[i].own->section;
	const char *base = keras_name(m->arena, kind->name);
	int before = 0;
	for (int k = 0; k < i; k++)
		before += m->layer[k].own->section == kind && !val_is_set(m->layer[k].own, "name");
	return before ? arena_printf(m->arena, "%s_%d", base, before) : base;
}

/* -1 - i for input i, 0: there is none of that name. */
static int find_port(const Model *m, const char *name)
{
	if (strcmp(name, m->input_name) == 0 || strcmp(name, "x") == 0)
		return -1;
	for (int i = 0; i < m->nfurther; i++) {
		if (strcmp(name, m->further[i].name) == 0)
			return -2 - i;
	}
	return 0;
}

const IrType *model_value_type(const Model *m, int in)
{
	return in >= 0 ? &m->layer[in].out : in == -1 ? &m->input : &m->further[-2 - in].type;
}

static bool name_layer(Model *m, int i)
{
	Layer *l = &m->layer[i];
	const Val *given = val(l->own, "name");
	Loc at = given->kind == VAL_STRING ? given->loc : l->loc;
	const char *name = given->kind == VAL_STRING ? given->s : automatic_name(m, i);
	if (!name_fits(name))
		return diag_error(m->diag, at, "'%.60s' can't be the name of a layer: letters, digits and _ only", name);
	int other = find_layer(m, name, i);
	if (other >= 0)
		return diag_error(m->diag, at, "two layers are called '%s'; the other is in line %d", name, m->layer[other].loc.line);
	if (find_port(m, name) || strcmp(name, "y") == 0 || strcmp(name, "id") == 0)
		return diag_error(m->diag, at, "a layer can't be called '%s': that is an input", name);
	l->name = name;
	return true;
}

/* ---- edges ---- */

static bool find_input(Model *m, int i, const Val *v, int *out)
{
	const int port = find_port(m, v->s);
	*out = port ? port : find_layer(m, v->s, i);
	if (*out >= 0 || port)
		return true;
	const char **names = NEWN(m->arena, const char *, i + 1 + m->nfurther);
	int n = 0;
	names[n++] = m->input_name;
	for (int k = 0; k < m->nfurther; k++)
		names[n++] = m->further[k].name;
	for (int k = 0; k < i; k++) {
		if (m->layer[k].name)
			names[n++] = m->layer[k].name;
	}
	const char *near = diag_nearest(v->s, names, (size_t)n);
	diag_error(m->diag, v->loc, "no layer '%.60s' stands above%s%s%s", v->s, near ? "; did you mean '" : "",
	           near ? near : "",
	           near ? "'?" : "");
	return false;
}

/* Shared becomes the layer that it names. */
static bool share_layer(Model *m, int i)
{
	Layer *l = &m->layer[i];
	int of;
	if (schema_field_index(l->own->section, "layer") < 0)
		return true;
	const Val *name = val(l->own, "layer");
	if (!find_input(m, i, name, &of))
		return false;
	if (of < 0)
		return diag_error(m->diag, name->loc, "'%s' is an input, not a layer", name->s);
	const Layer *first = m->layer[of].shared ? m->layer[of].shared : &m->layer[of];
	if (first->arg == first->own && schema_field_index(first->own->section, "layer") >= 0)
		return false; /* was refused itself */
	l->shared = first;
	l->kind = first->kind;
	l->arg = first->arg;
	l->trainable = first->trainable;
	return true;
}

static bool connect_layer(Model *m, int i)
{
	Layer *l = &m->layer[i];
	const Val *inputs = val(l->own, "inputs");
	bool ok = true, given = inputs->kind == VAL_LIST;
	double number;
	l->in = NEWN(m->arena, int, given ? inputs->n : 1);
	l->in[0] = i - 1;
	l->nin = !given && !layer_is_source(l);
	for (int k = 0; given && k < inputs->n; k++) {
		if (!layer_number(l, inputs->item[k].s, &number))
			ok = find_input(m, i, &inputs->item[k], &l->in[l->nin++]) && ok;
	}
	if (ok && l->nin < l->kind->min_in) {
		diag_error(m->diag, l->loc, "%s needs %s inputs", l->kind->name,
		           l->kind->max_in == l->kind->min_in ? "two" : "two or more");
		diag_note(m->diag, "help", "%s: {inputs: [first, second]}, with the names of layers above", l->kind->name);
		ok = false;
	} else if (ok && l->nin > l->kind->max_in) {
		ok = diag_error(m->diag, inputs->loc, "%s takes %s, not %d", l->kind->name,
		                l->kind->max_in == 0 ? "no inputs" : l->kind->max_in == 1 ? "one input" : l->kind->max_in == 2 ? "two inputs" : "at most 64 inputs",
			l->nin);
	}
	for (int k = 0; ok && k < l->nin; k++) {
		if (l->in[k] >= 0)
			m->layer[l->in[k]].used = true;
	}
	return ok;
}

/* ---- shapes ---- */

/* Activations that change the shape. */
static bool shape_activated(Model *m, Layer *l)
{
	const bool has = schema_field_index(l->arg->section, "activation") >= 0;
	if (!has || l->out.rank == 0 || !activation_halves(val(l->arg, "activation")))
		return true;
	int32_t *last = &l->out.dim[l->out.rank - 1];
	if (*last % 2 == 0) {
		*last /= 2;
		return true;
	}
	snprintf(m->reason, sizeof m->reason, "%s halves the last axis, and its extent is odd: %d",
	         val(l->arg, "activation")->section->name, *last);
	return false;
}

static bool shape_layer(Model *m, Layer *l)
{
	IrType in[64];
	m->reason[0] = '\0';
	m->least[0] = m->least[1] = 0;
	for (int k = 0; k < l->nin; k++) {
		in[k] = *model_value_type(m, l->in[k]);
		if (!layer_takes_any(l->kind) && (in[k].dtype != DT_F32 || !ir_batched(&in[k]))) {
			snprintf(m->reason, sizeof m->reason, "input %s: %s needs floats, one or more for each sample",
			         ir_type_text(m->arena, &in[k]), l->kind->name);
			return false;
		}
	}
	static const char *const what[] = {"", "(N, steps, channels)", "(N, height, width, channels)",
	                                   "(N, depth, height, width, channels)"};
	const int space = l->kind->space;
	return (!space || shape_is(m, l, in, space + 2, what[space])) && l->kind->shape(m, l, in) && shape_activated(m, l);
}

/* "line 23 input (N, 6, 6, 3) -> line 25 conv2d (N, 4, 4, 32)": the last ones before layer i */
static const char *shape_trace(Model *m, int i)
{
	int chain[TRACE_SHOWN], n = 0, at = m->layer[i].nin ? m->layer[i].in[0] : -1;
	while (at >= 0 && n < TRACE_SHOWN) {
		chain[n++] = at;
		at = m->layer[at].nin ? m->layer[at].in[0] : -1;
	}
	const char *text = "… ";
	if (at < 0)
		text = arena_printf(m->arena, "line %d %s %s", m->input_loc.line, m->input_name, ir_shape_text(m->arena, &m->input));
	while (n-- > 0) {
		const Layer *l = &m->layer[chain[n]];
		text = arena_printf(m->arena, "%s -> line %d %s %s", text, l->loc.line, l->name, ir_shape_text(m->arena, &l->out));
	}
	return text;
}

static bool shapes_valid(Model *m)
{
	for (int i = 0; i < m->nlayers; i++) {
		if (!shape_layer(m, &m->layer[i]))
			return false;
	}
	return true;
}

/* Smallest height = width of the input that makes every layer fit; 0: none found. */
static int least_size(Model *m)
{
	IrType given = m->input;
	int found = 0, from = given.dim[1] < given.dim[2] ? given.dim[1] : given.dim[2];
	Arena *kept = m->arena;
	m->arena = arena_new(); /* reasons of sizes that do not fit */
	for (int size = from + 1; size <= LARGEST_HELP && (size - from) * m->nlayers < HELP_WORK && !found; size++) {
		m->input.dim[1] = m->input.dim[2] = size;
		if (shapes_valid(m))
			found = size;
	}
	arena_free(m->arena);
	m->arena = kept;
	m->input = given;
	return found;
}

static bool report_misfit(Model *m, int i)
{
	Layer *l = &m->layer[i];
	bool about_size = m->least[0] > 0 && m->input.rank == 4;
	diag_error(m->diag, l->loc, "layer '%s' does not fit its input", l->name);
	if (*m->reason)
		diag_note(m->diag, "", "%s", m->reason);
	diag_note(m->diag, "shapes", "%s", shape_trace(m, i));
	int size = about_size ? least_size(m) : 0;
	if (size)
		diag_note(m->diag, "help", "%s of at least %dx%d makes the whole model valid, or use padding: same",
		          m->pictures ? "data.image_size" : "model.input_shape", size, size);
	return false;
}

/* ---- all ---- */

static bool add_layer(Model *m, int i, const Val *v)
{
	Layer *l = &m->layer[i];
	l->own = l->arg = v;
	l->loc = v->loc;
	l->kind = layer_kind(v->section->name);
	if (!l->kind)
		ICE("layer %s is in the schema but not built", v->section->name);
	l->trainable = val_bool(v, "trainable");
	return true;
}

static bool find_outputs(Model *m)
{
	const Val *outputs = val(m->model, "outputs");
	const bool given = outputs->kind == VAL_LIST;
	m->noutputs = given ? outputs->n : 1;
	m->outputs = NEWN(m->arena, int, m->noutputs);
	m->outputs[0] = m->nlayers - 1;
	if (given && outputs->n > MODEL_MAX_INPUTS)
		return diag_error(m->diag, outputs->loc, "%d outputs; at most %d are possible", outputs->n, MODEL_MAX_INPUTS);
	for (int k = 0; given && k < outputs->n; k++) {
		if (!find_input(m, m->nlayers, &outputs->item[k], &m->outputs[k]))
			return false;
		if (m->outputs[k] < 0)
			return diag_error(m->diag, outputs->item[k].loc, "the input can't be the output");
		for (int i = 0; i < k; i++) {
			if (m->outputs[i] == m->outputs[k])
				return diag_error(m->diag, outputs->item[k].loc, "'%s' is listed twice", outputs->item[k].s);
		}
	}
	return true;
}

/* What a program hands out is one value or more for each sample; what it trains are floats. */
static bool check_outputs(Model *m)
{
	for (int k = 0; k < m->noutputs; k++) {
		const Layer *l = &m->layer[m->outputs[k]];
		if (!ir_batched(&l->out))
			return diag_error(m->diag, l->loc, "output '%s' is alike for all samples", l->name);
		if (m->train && l->out.dtype != DT_F32)
			return diag_error(m->diag, l->loc, "output '%s' is %s, a loss needs floats", l->name, dtype_name(l->out.dtype));
	}
	return true;
}

static void warn_unused(Model *m)
{
	for (int k = 0; k < m->noutputs; k++)
		m->layer[m->outputs[k]].used = true;
	for (int i = 0; i < m->nlayers; i++) {
		if (!m->layer[i].used)
			diag_warning(m->diag, m->layer[i].loc, "nothing uses the output of '%s'", m->layer[i].name);
	}
}

bool model_read(Model *m)
{
	const Val *layers = val(m->model, "layers");
	bool ok = true;
	if (layers->n > MODEL_MAX_LAYERS)
		return diag_error(m->diag, layers->loc, "%d layers; at most %d are possible", layers->n, MODEL_MAX_LAYERS);
	m->nlayers = layers->n;
	m->layer = NEWN(m->arena, Layer, layers->n);
	for (int i = 0; i < m->nlayers; i++)
		add_layer(m, i, &layers->item[i]);
	for (int i = 0; i < m->nlayers; i++) {
		ok = name_layer(m, i) && ok;
		ok = share_layer(m, i) && connect_layer(m, i) && ok;
	}
	if (!find_outputs(m) || !ok)
		return false;
	for (int i = 0; i < m->nlayers; i++) {
		if (!shape_layer(m, &m->layer[i]))
			return report_misfit(m, i);
	}
	warn_unused(m);
	return check_outputs(m);
}

bool model_states(Model *m)
{
	for (int i = 0; i < m->nlayers; i++) {
		Layer *l = &m->layer[i];
		m->reason[0] = '\0';
		m->least[0] = 0;
		if (l->kind->states)
			l->kind->states(m, l, l->nin ? model_value_type(m, l->in[0]) : NULL);
		if (*m->reason)
			return report_misfit(m, i);
	}
	return true;
}
