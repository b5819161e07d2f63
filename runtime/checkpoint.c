/* checkpoint.c -- writes, validates and chooses checkpoint files */
#include "runtime/checkpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/crc32c.h"
#include "runtime/durable.h"
#include "runtime/sys.h"

static const char end_name[] = "cnnc.end";
enum { END_BYTES = 8 };

/* ---- writing ---- */

/* {"conv2d.kernel": "89abcdef", …} as text, freed with free(). */
static char *checksums(const RtStTensor *tensor, int n)
{
	json_t *root = json_object();
	for (int i = 0; i < n; i++) {
		char hex[12];
		snprintf(hex, sizeof hex, "%08x", rt_crc32c(0, tensor[i].data, tensor[i].bytes));
		json_object_set_new(root, tensor[i].name, json_string(hex));
	}
	char *text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

static void put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static RtStatus write_body(RtNewFile *f, const unsigned char *header, size_t length, const RtStTensor *tensor, int n)
{
	unsigned char end[END_BYTES];
	RtStatus s = rt_new_file_write(f, header, length);
	for (int i = 0; i < n && s == RT_OK; i++)
		s = rt_new_file_write(f, tensor[i].data, tensor[i].bytes);
	put_u32(end, f->crc);
	put_u32(end + 4, ~f->crc);
	if (s == RT_OK)
		s = rt_new_file_write(f, end, sizeof end);
	if (s == RT_OK)
		return rt_new_file_commit(f);
	rt_new_file_abort(f);
	return s;
}

static RtStatus file_of(const char *dir, uint64_t generation, char *path)
{
	if (!rt_path_join(path, dir, generation % 2 ? "checkpoint-a" : "checkpoint-b"))
		return rt_fail(RT_IO, "the path is too long: %.200s…", dir);
	return RT_OK;
}

static RtStatus write_file(const char *path, uint64_t generation, RtStTensor *all, int n, const char *state)
{
	char number[24];
	unsigned char *header = NULL;
	size_t length = 0;
	char *sums = checksums(all, n);
	if (!sums)
		return rt_fail(RT_NOMEM, "out of memory for the checksums of %d tensors", n);
	snprintf(number, sizeof number, "%llu", (unsigned long long)generation);
	const char *meta[] = {
		"format", "cnnc-checkpoint-1", "cnnc.generation", number, "cnnc.crc", sums, "cnnc.state", state, NULL};
	all[n] = (RtStTensor){.name = end_name, .dtype = RT_ST_U8, .rank = 1, .dim = {END_BYTES}, .bytes = END_BYTES};
	RtStatus s = rt_st_header(all, n + 1, meta, &header, &length);
	free(sums);
	RtNewFile f;
	if (s == RT_OK) {
		s = rt_new_file(&f, path, 0666);
		if (s == RT_OK)
			s = write_body(&f, header, length, all, n);
	}
	rt_sys.release(header);
	return s;
}

RtStatus rt_checkpoint_write(const char *dir, uint64_t generation, const RtStTensor *tensor, int n, const char *state)
{
	char path[RT_PATH_MAX];
	RtStatus s = file_of(dir, generation, path);
	if (s != RT_OK)
		return s;
	RtStTensor *all = rt_sys.alloc(((size_t)n + 1) * sizeof *all);
	if (!all)
		return rt_fail(RT_NOMEM, "out of memory for the table of %d tensors", n);
	memcpy(all, tensor, (size_t)n * sizeof *all);
	s = write_file(path, generation, all, n, state);
	rt_sys.release(all);
	return s;
}

/* ---- reading ---- */

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static RtStatus check_tensors(const RtSafetensors *st)
{
	const char *text = rt_st_meta(st, "cnnc.crc");
	json_t *sums = json_loads(text ? text : "", 0, NULL);
	RtStatus s = sums ? RT_OK : rt_fail(RT_BAD_WEIGHTS, "it lists no checksums");
	for (int i = 0; i < st->ntensors && s == RT_OK; i++) {
		const RtStTensor *t = &st->tensor[i];
		const char *want = json_string_value(json_object_get(sums, t->name));
		char have[12];
		if (strcmp(t->name, end_name) == 0)
			continue;
		snprintf(have, sizeof have, "%08x", rt_crc32c(0, t->data, t->bytes));
		if (!want || strcmp(want, have) != 0)
			s = rt_fail(RT_BAD_WEIGHTS, "the checksum of tensor '%s' is wrong", t->name);
	}
	json_decref(sums);
	return s;
}

static RtStatus validate(RtCheckpoint *c)
{
	const unsigned char *end = c->length >= END_BYTES ? c->bytes + c->length - END_BYTES : c->bytes;
	RtStatus s = rt_st_parse(c->bytes, c->length, &c->st);
	if (s == RT_OK)
		s = check_tensors(&c->st);
	if (s != RT_OK)
		return s;
	const RtStTensor *last = rt_st_find(&c->st, end_name);
	uint32_t crc = rt_crc32c(0, c->bytes, c->length - END_BYTES);
	if (!last || last->data != end || get_u32(end) != crc || get_u32(end + 4) != ~crc)
		return rt_fail(RT_BAD_WEIGHTS, "its checksum is wrong");
	const char *generation = rt_st_meta(&c->st, "cnnc.generation"), *state = rt_st_meta(&c->st, "cnnc.state");
	c->generation = generation ? strtoull(generation, NULL, 10) : 0;
	c->state = json_loads(state ? state : "", JSON_REJECT_DUPLICATES, NULL);
	if (c->generation == 0 || !json_is_object(c->state))
		return rt_fail(RT_BAD_WEIGHTS, "it holds no training state");
	return RT_OK;
}

RtStatus rt_checkpoint_read(const char *path, RtCheckpoint *out)
{
	*out = (RtCheckpoint){0};
	RtStatus s = rt_read_file(path, RT_BAD_WEIGHTS, &out->bytes, &out->length);
	if (s != RT_OK)
		return s;
	s = validate(out);
	if (s != RT_OK)
		rt_checkpoint_free(out);
	return s == RT_OK ? s : rt_fail(s, "%s is damaged: %s", path, rt_message());
}

void rt_checkpoint_free(RtCheckpoint *c)
{
	rt_st_free(&c->st);
	json_decref(c->state);
	rt_sys.release(c->bytes);
	*c = (RtCheckpoint){0};
}

RtStatus rt_checkpoint_newest(const char *dir, RtCheckpoint *out, char *note, size_t size)
{
	int damaged = 0;
	*out = (RtCheckpoint){0};
	note[0] = '\0';
	for (uint64_t parity = 1; parity <= 2; parity++) {
		char path[RT_PATH_MAX];
		struct stat st;
		RtCheckpoint c;
		RtStatus s = file_of(dir, parity, path);
		if (s != RT_OK)
			return s;
		if (rt_sys.stat(path, &st) != 0 && errno == ENOENT)
			continue;
		s = rt_checkpoint_read(path, &c);
		if (s == RT_BAD_WEIGHTS) {
			damaged++;
			snprintf(note, size, "%s", rt_message());
		} else if (s != RT_OK) {
			rt_checkpoint_free(out);
			return s;
		} else if (c.generation > out->generation) {
			rt_checkpoint_free(out);
			*out = c;
		} else {
			rt_checkpoint_free(&c);
		}
	}
	if (damaged && !out->bytes)
		return rt_fail(RT_BAD_WEIGHTS, "no checkpoint in %s can be read: %s", dir, note);
	return RT_OK;
}
