/* cuda_nodes.c -- how many nodes the graph of a training step has, as a driver sees it (the GPU of host memory, tests/cuda)
 *
 * Forward, backward and update of a layer with weights take three nodes at most, of one with batch statistics four, and a step
 * eight more. A predicting graph has a node a layer with weights and two more. Nothing is launched here.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/cuda_call.h"
#include "tests/support/model_check.h"
#include "tests/support/suite.h"

static const char normalized[] =
	"cnnc: 1\ntask: image_classification\n"
	"data:\n  type: image_directory\n  train: {directory: train}\n  image_size: [32, 32]\n  batch_size: 32\n  label_mode: binary\n"
	"  preprocess: {rescale: 1/255}\n"
	"model:\n  input_shape: [32, 32, 3]\n  layers:\n"
	"    - Conv2D: {filters: 32, kernel_size: 3, padding: same, use_bias: false}\n    - BatchNormalization\n    - ReLU\n"
	"    - Conv2D: {filters: 32, kernel_size: 3, padding: same, use_bias: false}\n    - BatchNormalization\n    - ReLU\n"
	"    - MaxPooling2D: {pool_size: 2}\n"
	"    - Conv2D: {filters: 64, kernel_size: 3, padding: same, use_bias: false}\n    - BatchNormalization\n    - ReLU\n"
	"    - Conv2D: {filters: 64, kernel_size: 3, padding: same, use_bias: false}\n    - BatchNormalization\n    - ReLU\n"
	"    - GlobalAveragePooling2D\n    - Dense: {units: 1, activation: sigmoid}\n"
	"train:\n  optimizer: adam\n  loss: binary_crossentropy\n  metrics: [accuracy]\n";

typedef struct Graph { int nodes, edges, chain; } Graph;

static char *file_text(const char *path)
{
	static char text[1 << 14];
	FILE *f = fopen(path, "r");
	ck_assert_msg(f, "no %s", path);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	return text;
}

static bool of_layer(const RtTensor *t, const char *layer, size_t length)
{
	return strncmp(t->name, layer, length) == 0 && t->name[length] == '.';
}

/* Nodes that the layers of the model may have; *layers: how many have weights. */
static int allowed(const RtModel *m, int *layers)
{
	int n = 8;
	*layers = 0;
	for (uint32_t i = 0; i < m->ntensors; i++) {
		const char *name = m->tensor[i].name;
		const size_t length = strcspn(name, ".");
		bool first = m->tensor[i].kind == RT_PARAM, statistics = false;
		for (uint32_t j = 0; j < m->ntensors; j++) {
			first = first && !(j < i && of_layer(&m->tensor[j], name, length));
			statistics |= m->tensor[j].kind == RT_STAT && of_layer(&m->tensor[j], name, length);
		}
		*layers += first;
		n += !first ? 0 : statistics ? 4 : 3;
	}
	return n;
}

/* What the driver was told to build for one entry. */
static Graph graph_of(const Jitted *j, const char *entry)
{
	char path[] = "/tmp/cnnc-nodes-XXXXXX";
	const int fd = mkstemp(path);
	RtCudaRun *r;
	Graph g = {0};
	ck_assert_int_ge(fd, 0);
	setenv("MOCK_CUDA_GRAPHS", path, 1);
	ck_assert_int_eq(rt_cuda_open(j->model, j->instance.params, &entry, 1, 0, true, &r), RT_OK);
	rt_cuda_close(r);
	unsetenv("MOCK_CUDA_GRAPHS");
	ck_assert_int_eq(sscanf(file_text(path), "%d nodes, %d edges, a chain of %d", &g.nodes, &g.edges, &g.chain), 3);
	close(fd);
	unlink(path);
	return g;
}

static void count(const char *name, const char *text)
{
	const ModelCheck c = {.name = name, .text = text};
	Diag *d = diag_new();
	int layers;
	Jitted j = jit_open(model_load(&c, d), "cuda", 1);
	const int most = allowed(j.model, &layers);
	const Graph train = graph_of(&j, "train_step"), predict = graph_of(&j, "predict");
	printf("%s: a training step has %d nodes, %d edges, a chain of %d; at most %d nodes are allowed\n", name, train.nodes, train.edges,
	       train.chain, most);
	ck_assert_int_gt(train.nodes, layers);
	ck_assert_int_le(train.nodes, most);
	ck_assert_int_ge(train.edges, train.nodes - 1);
	ck_assert_int_le(predict.nodes, 2 * layers + 2);
	jit_close(&j);
	diag_free(d);
}

START_TEST(reference_model)
{
	unsetenv("TEST_CPU");
	count("reference", file_text("examples/classifier/classifier.yaml"));
}
END_TEST

START_TEST(batch_statistics)
{
	unsetenv("TEST_CPU");
	count("batch statistics", normalized);
}
END_TEST

int main(void)
{
	if (!getenv("MOCK_CUDA_SHIM"))
		return 77; /* run by ctest, which says where the mock is */
	Suite *s = suite_create("cuda_nodes");
	TCase *t = tcase_create("nodes");
	tcase_set_timeout(t, 300);
	tcase_add_test(t, reference_model);
	tcase_add_test(t, batch_statistics);
	suite_add_tcase(s, t);
	return suite_run(s);
}
