/* load.c -- fe_load: file to tree, tree to checked values, values to the module */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/build.h"
#include "frontend/frontend.h"

/* ---- the checked file ---- */

/* The model's layers can't be written out: what is wrong elsewhere is reported too. */
static bool check_others(Scope *s, const SchemaRow *section, const YNode *root, Val *top)
{
	for (int i = 0; i < root->n; i++) {
		const YPair *p = &root->pair[i];
		const int at = schema_field_index(section, p->key);
		if (at >= 0 && strcmp(p->key, "model") != 0)
			check_field(s, section, schema_field(section, at), p->value, p->loc, top);
	}
	return false;
}

/* `data` is checked first: what the other sections may refer to ($num_classes) follows from it. */
static bool check_file(Scope *s, const YNode *root, Val *top)
{
	const SchemaRow *section = schema_top();
	Val data = {0};
	bool ok = true, has_data = false;
	int at = schema_field_index(section, "data");
	YNode *rest = yaml_copy(s->arena, root);
	rest->n = 0;
	for (int i = 0; i < root->n; i++) {
		const YPair *p = &root->pair[i];
		if (strcmp(p->key, "define") == 0)
			ok = scope_define(s, p->value) && ok;
		if (strcmp(p->key, "data") == 0)
			has_data = true;
		else
			rest->pair[rest->n++] = *p;
	}
	for (int i = 0; has_data && i < root->n; i++) {
		const YPair *p = &root->pair[i];
		if (strcmp(p->key, "data") == 0)
			ok = check_field(s, section, schema_field(section, at), p->value, p->loc, &data) && ok;
	}
	s->data = &data;
	if (!blocks_expand(s, rest))
		return check_others(s, section, rest, top);
	ok = check_section(s, section, rest, root->loc, top) && ok;
	s->data = NULL;
	if (has_data)
		top->item[at] = data;
	return ok;
}

/* ---- the module ---- */

/* The strings of a list, with commas; NULL for none. */
static const char *joined(Arena *a, const Val *v)
{
	const char *all = NULL;
	for (int i = 0; v && i < v->n; i++)
		all = all ? arena_printf(a, "%s,%s", all, v->item[i].s) : v->item[i].s;
	return all;
}

static void describe(const Model *m, FeModel *out)
{
	const Val *build = val(m->top, "build");
	const char *triple = val_string(build, "triple");
	*out = (FeModel){
		.module = m->module, .target = joined(m->arena, val(build, "target")),
		.cuda_arch = joined(m->arena, val(build, "cuda_arch")), .cpu = val_string(build, "cpu"),
		.triple = triple ? triple : "", .precision = val_string(build, "precision"), .math = val_string(build, "math"),
		.layer = NEWN(m->arena, FeLayer, m->nlayers), .nlayers = m->nlayers, .trains = m->train != NULL,
		.serves = val_is_set(m->top, "serve"),
		.tune_seconds = val_number(build, "tune"),
	};
	for (int i = 0; i < m->nlayers; i++) {
		const Layer *l = &m->layer[i];
		out->layer[i] = (FeLayer){l->name, l->kind->name, l->out, l->params, l->flops, l->loc, l->nin, l->in};
		out->flops += l->flops;
	}
	out->ninputs = 1 + m->nfurther;
	out->input = NEWN(m->arena, FeInput, out->ninputs);
	out->input[0] = (FeInput){m->input_name, m->input};
	for (int i = 0; i < m->nfurther; i++)
		out->input[1 + i] = (FeInput){m->further[i].name, m->further[i].type};
	IR_EACH_STATE(m->module, s) {
		int64_t n = ir_elems(&s->type, 1);
		out->params += n;
		out->trainable += s->trainable ? n : 0;
	}
}

static bool build_model(Model *m, Scope *s, const char *file)
{
	bool ok = resolve_sections(m, s, file), input = m->input.rank > 0;
	if (input || !m->pictures)
		ok = pictures_check(m) && ok;
	if (!input || !model_read(m))
		return false;
	if (m->train && m->data) {
		ok = head_read(m) && ok;
		ok = training_check(m) && ok;
	}
	if (!ok || !explain_check(m))
		return false;
	if (!model_states(m) || !entries_emit(m))
		return false;
	const char *precision = val_string(val(m->top, "build"), "precision");
	m->module->precision = strcmp(precision, "mixed_bfloat16") == 0 ? PRECISION_MIXED_BF16 :
	                       strcmp(precision, "tf32") == 0           ? PRECISION_TF32 : PRECISION_F32;
	m->module->fast_math = strcmp(val_string(val(m->top, "build"), "math"), "fast") == 0;
	m->module->field = resolve_fields(m, &m->module->nfield);
	return true;
}

static Val *section_of(const Val *top, const char *name)
{
	Val *v = (Val *)val(top, name);
	return v->kind == VAL_OBJECT ? v : NULL;
}

static bool load_into(IrModule *module, const char *name, const char *text, size_t len, const char *const *overrides,
                      int n, Diag *d, FeModel *out)
{
	Arena *a = module->arena;
	const char *file = arena_strdup(a, name);
	size_t bom = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
	int before = diag_errors(d);
	YNode *root = yaml_parse(a, d, (Loc){file, 1, bom ? 2 : 1, 0}, text + bom, len - bom);
	if (!root)
		return false;
	if (root->kind != Y_MAP)
		return diag_error(d, root->loc, "a model file is a mapping: cnnc: 1, model: …");
	root = override_apply(a, d, root, overrides, n);
	if (!root)
		return false;
	Scope scope = {.arena = a, .diag = d};
	Val top = {0};
	if (!check_file(&scope, root, &top) || diag_errors(d) > before)
		return false;
	Model m = {.arena = a, .diag = d, .module = module, .top = &top, .data = section_of(&top, "data"),
	           .model = section_of(&top, "model"), .train = section_of(&top, "train"), .use = scope.use, .nuses = scope.nuses};
	if (!build_model(&m, &scope, file))
		return false;
	const FeWeights weights = weights_check(&m, file);
	if (diag_errors(d) > before)
		return false;
	describe(&m, out);
	out->weights = weights;
	return true;
}

bool fe_load_text(const char *name, const char *text, size_t len, const char *const *overrides, int n, Diag *d,
                  FeModel *out)
{
	diag_source(d, name, text, len);
	IrModule *module = ir_module_new("model");
	if (load_into(module, name, text, len, overrides, n, d, out))
		return true;
	ir_module_free(module);
	return false;
}

char *fe_read(const char *path, Diag *d, size_t *out_len)
{
	Loc at = {path, 0, 0, 0};
	FILE *f = fopen(path, "rb");
	if (!f) {
		diag_error(d, at, "%s", strerror(errno));
		return NULL;
	}
	char *text = arena_alloc(diag_arena(d), YAML_MAX_BYTES + 2, 1);
	errno = 0;
	*out_len = fread(text, 1, YAML_MAX_BYTES + 1, f);
	bool failed = ferror(f) != 0;
	if (failed)
		diag_error(d, at, "%s", strerror(errno));
	fclose(f);
	return failed ? NULL : text;
}

bool fe_load(const char *path, const char *const *overrides, int n, Diag *d, FeModel *out)
{
	size_t len;
	char *text = fe_read(path, d, &len);
	return text && fe_load_text(path, text, len, overrides, n, d, out);
}
