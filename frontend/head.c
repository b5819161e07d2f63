/* head.c -- what is trained: outputs of the model, each with a target, a loss, a weight and metrics
 *
 * in:   the checked section `train`, layers with shapes     out: m->head
 *
 * Fields that differ between outputs are mappings by the outputs' names; what stands there once is for all of them. Targets
 * are ports of their own, but for class labels: a picture has one, and all outputs learn it.
 */
#include "frontend/build.h"

#include <stdlib.h>
#include <string.h>

const IrType *head_type(const Model *m, const Head *h)
{
	return &m->layer[h->layer].out;
}

int32_t head_classes(const Model *m, const Head *h)
{
	const IrType *t = head_type(m, h);
	return t->dim[t->rank - 1];
}

void head_begin(Build *b, int k)
{
	b->head = &b->m->head[k];
	b->loc = b->head->loss->loc;
	b->y = b->target[k];
	b->z = b->head_logits[k];
}

/* ---- checks ---- */

static bool wrong_units(Model *m, const Head *h, const char *why, const char *help)
{
	const Layer *last = &m->layer[h->layer];
	diag_error(m->diag, last->loc, "'%s' has %d outputs; %s", last->name, head_classes(m, h), why);
	if (help)
		diag_note(m->diag, "help", "%s", help);
	return false;
}

static bool wrong_mode(Model *m, const Val *mode, const char *loss, const char *help)
{
	const Val *at = mode->given ? mode : val(m->train, "loss");
	diag_error(m->diag, at->loc, "%s does not go with label_mode: %s%s", loss, mode->s,
	           mode->given ? "" : " (the default)");
	diag_note(m->diag, "help", "%s", help);
	return false;
}

static bool check_class_labels(Model *m, const Head *h, const char *loss)
{
	const Val *mode = val(m->data, "label_mode");
	bool one_hot_mode = strcmp(mode->s, "categorical") == 0;
	int32_t classes = head_classes(m, h);
	if (head_type(m, h)->rank != 2)
		return diag_error(m->diag, m->layer[h->layer].loc,
		                  "the output is %s; one row of numbers a sample is needed: add Flatten or pooling",
		                  ir_shape_text(m->arena, head_type(m, h)));
	if (h->kind == LOSS_CATEGORICAL && !one_hot_mode)
		return wrong_mode(m, mode, loss, "label_mode: categorical, or loss: sparse_categorical_crossentropy");
	if (h->kind == LOSS_SPARSE && one_hot_mode)
		return wrong_mode(m, mode, loss, "label_mode: int, or loss: categorical_crossentropy");
	if (h->kind == LOSS_BINARY && !one_hot_mode && classes != 1)
		return wrong_units(m, h, arena_printf(m->arena, "binary_crossentropy with label_mode: %s needs 1", mode->s),
		                   "Dense: {units: 1, activation: sigmoid}, or sparse_categorical_crossentropy with softmax");
	if (h->kind == LOSS_SQUARED && !one_hot_mode && classes != 1)
		return wrong_units(m, h, "with class indices as labels it needs 1", "label_mode: categorical");
	if ((h->kind == LOSS_CATEGORICAL || h->kind == LOSS_SPARSE || one_hot_mode) && classes < 2)
		return wrong_units(m, h, arena_printf(m->arena, "%s needs one for each class", loss),
		                   "Dense: {units: $num_classes, activation: softmax}, or label_mode: binary with "
		                   "binary_crossentropy");
	if (strcmp(mode->s, "binary") == 0 && m->num_classes > 0 && m->num_classes != 2)
		return diag_error(m->diag, mode->loc, "label_mode: binary is for 2 classes, not %lld", (long long)m->num_classes);
	if (classes == 1 && m->num_classes > 2 && h->kind == LOSS_BINARY)
		return wrong_units(m, h, arena_printf(m->arena, "there are %lld classes", (long long)m->num_classes), NULL);
	if (classes > 1 && m->num_classes > 0 && classes != m->num_classes)
		return wrong_units(m, h, arena_printf(m->arena, "there are %lld classes", (long long)m->num_classes),
		                   "units: $num_classes");
	return true;
}

static bool check_array_labels(Model *m, const Head *h, const char *loss)
{
	if ((h->kind == LOSS_CATEGORICAL || h->kind == LOSS_SPARSE) && head_classes(m, h) < 2)
		return wrong_units(m, h, arena_printf(m->arena, "%s needs one for each class", loss), NULL);
	return true;
}

/* A class for each pixel: the output is as high and wide as the picture. */
static bool check_mask(Model *m, const Head *h, const char *loss)
{
	const IrType *t = head_type(m, h);
	if (t->rank != 4 || t->dim[1] != m->input.dim[1] || t->dim[2] != m->input.dim[2]) {
		diag_error(m->diag, m->layer[h->layer].loc, "the output is %s; masks need one as large as the picture, (N, %d, %d, classes)",
		           ir_shape_text(m->arena, t), m->input.dim[1], m->input.dim[2]);
		diag_note(m->diag, "help", "Conv2D: {filters: $num_classes, kernel_size: 1, activation: softmax}; UpSampling2D or "
		                           "Conv2DTranspose make pictures larger again");
		return false;
	}
	if (head_classes(m, h) == 1 && (h->kind == LOSS_CATEGORICAL || h->kind == LOSS_SPARSE))
		return wrong_units(m, h, arena_printf(m->arena, "%s needs one for each class", loss), NULL);
	if (head_classes(m, h) > 1 && m->num_classes > 0 && head_classes(m, h) != m->num_classes)
		return wrong_units(m, h, arena_printf(m->arena, "there are %lld classes", (long long)m->num_classes), "filters: $num_classes");
	return head_classes(m, h) <= 256 || wrong_units(m, h, "masks tell at most 256 classes apart", NULL);
}

/* Any number of classes a sample. */
static bool check_many(Model *m, const Head *h, const char *loss)
{
	if (head_type(m, h)->rank != 2)
		return diag_error(m->diag, m->layer[h->layer].loc,
		                  "the output is %s; one row of numbers a sample is needed: add Flatten or pooling",
		                  ir_shape_text(m->arena, head_type(m, h)));
	if (h->kind == LOSS_CATEGORICAL || h->kind == LOSS_SPARSE)
		return wrong_mode(m, val(m->data, "label_mode"), loss, "binary_crossentropy, with activation: sigmoid");
	if (m->num_classes > 0 && head_classes(m, h) != m->num_classes)
		return wrong_units(m, h, arena_printf(m->arena, "there are %lld classes", (long long)m->num_classes),
		                   "units: $num_classes");
	return true;
}

static bool check_labels(Model *m, const Head *h, const char *loss)
{
	switch (m->target) {
	case TARGET_CLASS: return check_class_labels(m, h, loss);
	case TARGET_CLASSES: return check_many(m, h, loss);
	case TARGET_MASK: return check_mask(m, h, loss);
	case TARGET_ARRAY: return check_array_labels(m, h, loss);
	}
	ICE("target %d", (int)m->target);
}

/* A model that ends without the function that its loss expects trains, but on something else than was meant. */
static void warn_activation(Model *m, const Head *h)
{
	const Val *loss = h->loss;
	static const char *const wanted[] = {"sigmoid", "softmax", "softmax"};
	const Layer *last = &m->layer[h->layer];
	const char *name = last->kind->name, *function = strcmp(name, "Softmax") == 0 ? "softmax" : NULL;
	if (h->kind == LOSS_SQUARED)
		return;
	if (schema_field_index(last->arg->section, "activation") >= 0)
		function = val(last->arg, "activation")->section->name;
	if (h->from_logits && function && strcmp(function, wanted[h->kind]) == 0)
		diag_warning(m->diag, val(loss, "from_logits")->loc, "from_logits: true, but '%s' ends in %s already", last->name,
		             function);
	else if (!h->from_logits && function && strcmp(function, "linear") == 0)
		diag_warning(m->diag, last->loc, "'%s' has no activation; %s expects %s, or from_logits: true", last->name,
		             loss->section->name, wanted[h->kind]);
}

static bool read_smoothing(Model *m, Head *h)
{
	const Val *loss = h->loss;
	const Val *outer = val(m->train, "label_smoothing");
	bool takes = schema_field_index(loss->section, "label_smoothing") >= 0;
	const Val *inner = takes ? val(loss, "label_smoothing") : &(Val){0};
	if (outer->given && outer->x != 0 && !takes)
		return diag_error(m->diag, outer->key, "%s has no label_smoothing", loss->section->name);
	if (outer->given && inner->kind == VAL_NUMBER)
		return diag_error(m->diag, inner->key, "label_smoothing is given here and in train");
	h->smoothing = inner->kind == VAL_NUMBER ? inner->x : outer->x;
	return true;
}

/* Index of the class that key `v->s` names: -1 is reported. */
static int class_index(const Model *m, const Val *v, int32_t classes)
{
	size_t digits = strspn(v->s, "0123456789");
	long index = digits > 0 && digits < 10 && !v->s[digits] ? strtol(v->s, NULL, 10) : -1;
	for (int i = 0; i < m->module->nlabels; i++) {
		if (strcmp(m->module->labels[i], v->s) == 0)
			return i;
	}
	if (index >= 0 && index < classes)
		return (int)index;
	diag_error(m->diag, v->key, "class_weight: there is no class '%.60s'", v->s);
	if (m->module->nlabels)
		diag_note(m->diag, "help", "classes are those of data.class_names");
	else
		diag_note(m->diag, "help", "0 to %d, or names if data.class_names is given", classes - 1);
	return -1;
}

/* Rewrites the field as one weight for each class. */
static bool read_class_weight(Model *m)
{
	const Head *h = &m->head[0];
	Val *given = (Val *)val(m->train, "class_weight");
	if (given->kind == VAL_UNSET)
		return true;
	int32_t classes = head_classes(m, h) > 1 || m->target == TARGET_CLASSES ? head_classes(m, h) : 2;
	if (m->nheads > 1)
		return diag_error(m->diag, given->key, "class_weight is for models with one output; loss_weights weighs outputs");
	if (head_type(m, h)->rank != 2)
		return diag_error(m->diag, given->key, "class_weight needs one class a sample; the output is %s",
		                  ir_shape_text(m->arena, head_type(m, h)));
	if (m->target == TARGET_CLASSES && h->kind != LOSS_BINARY)
		return diag_error(m->diag, given->key, "class_weight of several classes a sample is for binary_crossentropy");
	m->weighted_classes = classes;
	if (given->kind != VAL_LIST)
		return true;
	Val *all = NEWN(m->arena, Val, classes);
	for (int32_t i = 0; i < classes; i++)
		all[i] = (Val){.kind = VAL_NUMBER, .x = 1, .s = arena_printf(m->arena, "%d", i), .field = given->field, .loc = given->loc};
	for (int i = 0; i < given->n; i++) {
		int index = class_index(m, &given->item[i], classes);
		if (index < 0)
			return false;
		if (all[index].given)
			return diag_error(m->diag, given->item[i].key, "class_weight: class %d is given twice", index);
		all[index].given = true;
		all[index].x = given->item[i].x;
	}
	given->item = all;
	given->n = classes;
	return true;
}

/* ---- reading ---- */

static bool read_loss(Model *m, Head *h)
{
	static const char *const names[] = {
		"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error",
	};
	const Val *loss = h->loss;
	while (strcmp(names[h->kind], loss->section->name) != 0) {
		h->kind++;
		INVARIANT(h->kind < (LossKind)COUNT(names));
	}
	if (schema_field_index(loss->section, "ignore_class") >= 0 && val_is_set(loss, "ignore_class")) {
		h->ignores = true;
		h->ignore = (int32_t)val_int(loss, "ignore_class");
	}
	if (schema_field_index(loss->section, "axis") < 0)
		return true;
	const Val *axis = val(loss, "axis");
	h->from_logits = val_bool(loss, "from_logits");
	return axis->i == -1 || axis->i == head_type(m, h)->rank - 1 ||
	       diag_error(m->diag, axis->loc, "another axis than the last is not supported yet");
}

static bool check_head(Model *m, Head *h)
{
	const char *loss = h->loss->section->name;
	if (!read_loss(m, h) || !read_smoothing(m, h))
		return false;
	bool ok = check_labels(m, h, loss);
	if (ok)
		warn_activation(m, h);
	return metric_check(m, h) && ok;
}

/* What `list` says of output k: by its name, or by its place; NULL: nothing. */
static const Val *of_output(const Model *m, const Val *list, int k)
{
	for (int i = 0; i < list->n; i++) {
		const char *name = list->item[i].name;
		if (name ? strcmp(name, m->layer[m->outputs[k]].name) == 0 : i == k)
			return &list->item[i];
	}
	return NULL;
}

/* Every element belongs to an output. */
static bool names_outputs(const Model *m, const Val *list, const char *what)
{
	bool ok = true, named = list->n > 0 && list->item[0].name;
	if (!named && list->n != m->noutputs)
		return diag_error(m->diag, list->loc, "%d %s for %d outputs; or give them by name: {%s: …}", list->n, what, m->noutputs,
		                  m->layer[m->outputs[0]].name);
	for (int i = 0; named && i < list->n; i++) {
		const char **names = NEWN(m->arena, const char *, m->noutputs);
		bool found = false;
		for (int k = 0; k < m->noutputs; k++) {
			names[k] = m->layer[m->outputs[k]].name;
			found = found || strcmp(names[k], list->item[i].name) == 0;
		}
		if (found)
			continue;
		const char *near = diag_nearest(list->item[i].name, names, (size_t)m->noutputs);
		ok = diag_error(m->diag, list->item[i].key, "no output is called '%.60s'%s%s%s", list->item[i].name,
		                near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
		diag_note(m->diag, "help", "model.outputs lists the layers whose outputs are the result");
	}
	return ok;
}

/* Files of arrays by name: one for each of `names`, which the model has. */
static bool check_files(Model *m, const Val *files, const char *what, const char *const *names, int n)
{
	bool ok = true;
	if (files->kind == VAL_STRING && n > 1)
		return diag_error(m->diag, files->loc, "the model has %d %ss: give a file for each, {%s: FILE, …}", n, what, names[0]);
	for (int k = 0; files->kind == VAL_LIST && k < n; k++) {
		int at = 0;
		while (at < files->n && strcmp(files->item[at].name, names[k]) != 0)
			at++;
		if (at == files->n)
			ok = diag_error(m->diag, files->loc, "there is no file for %s '%s'", what, names[k]);
	}
	for (int i = 0; files->kind == VAL_LIST && i < files->n; i++) {
		int k = 0;
		while (k < n && strcmp(files->item[i].name, names[k]) != 0)
			k++;
		if (k == n)
			ok = diag_error(m->diag, files->item[i].key, "the model has no %s '%.60s'", what, files->item[i].name);
	}
	return ok;
}

static bool check_arrays(Model *m)
{
	static const char *const splits[] = {"train", "validation", "test"};
	const char **in = NEWN(m->arena, const char *, m->nfurther + 1), **out = NEWN(m->arena, const char *, m->noutputs);
	bool ok = true;
	in[0] = m->input_name;
	for (int i = 0; i < m->nfurther; i++)
		in[1 + i] = m->further[i].name;
	for (int k = 0; k < m->noutputs; k++)
		out[k] = m->layer[m->outputs[k]].name;
	for (size_t i = 0; i < COUNT(splits); i++) {
		const Val *split = val(m->data, splits[i]);
		if (split->kind != VAL_OBJECT)
			continue;
		ok = check_files(m, val(split, "x"), "input", in, m->nfurther + 1) && ok;
		ok = check_files(m, val(split, "y"), "output", out, m->noutputs) && ok;
	}
	return ok;
}

static bool read_head(Model *m, int k)
{
	static const Val none = {0};
	Head *h = &m->head[k];
	const char *name = m->layer[m->outputs[k]].name;
	const Val *loss = val(m->train, "loss"), *metrics = val(m->train, "metrics"), *weights = val(m->train, "loss_weights");
	const Val *weight = weights->kind == VAL_LIST ? of_output(m, weights, k) : NULL;
	*h = (Head){.layer = m->outputs[k], .port = "y", .prefix = "", .loss = loss, .metrics = metrics, .weight = 1};
	if (m->noutputs > 1) {
		h->prefix = arena_printf(m->arena, "%s_", name);
		if (m->target != TARGET_CLASS)
			h->port = arena_printf(m->arena, "y.%s", name);
	}
	if (loss->kind == VAL_LIST)
		h->loss = of_output(m, loss, k);
	if (!h->loss)
		return diag_error(m->diag, loss->loc, "output '%s' has no loss", name);
	if (metrics->kind == VAL_LIST && metrics->n > 0 && metrics->item[0].name) {
		const Val *own = of_output(m, metrics, k);
		h->metrics = own ? own : &none;
	}
	h->weight = weight ? weight->x : 1;
	return check_head(m, h);
}

bool head_read(Model *m)
{
	const Val *loss = val(m->train, "loss"), *metrics = val(m->train, "metrics"), *weights = val(m->train, "loss_weights");
	bool ok = true, named = metrics->kind == VAL_LIST && metrics->n > 0 && metrics->item[0].name;
	if (m->noutputs > 1 && metrics->kind == VAL_LIST && metrics->n > 0 && !named)
		ok = diag_error(m->diag, metrics->loc, "metrics of %d outputs are given by name: {%s: [accuracy], …}", m->noutputs,
		                m->layer[m->outputs[0]].name);
	if (weights->kind == VAL_LIST)
		ok = names_outputs(m, weights, "weights") && ok;
	if (loss->kind == VAL_LIST)
		ok = names_outputs(m, loss, "losses") && ok;
	if (named)
		ok = names_outputs(m, metrics, "metrics") && ok;
	if (m->noutputs > 1 && m->target != TARGET_CLASS && m->target != TARGET_ARRAY)
		ok = diag_error(m->diag, m->train->key, "training %d outputs on this kind of label is not supported yet", m->noutputs);
	ok = check_arrays(m) && ok;
	m->head = NEWN(m->arena, Head, m->noutputs);
	m->nheads = m->noutputs;
	for (int k = 0; ok && k < m->nheads; k++)
		ok = read_head(m, k) && ok;
	return ok && read_class_weight(m);
}
