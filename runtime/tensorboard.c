/* tensorboard.c -- event files: framing, the few protobuf fields of a scalar, where they go
 *
 * Formats: tensorflow/core/lib/io/record_writer.h; event.proto and summary.proto of TensorBoard's compat/proto.
 */
#include "runtime/tensorboard.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "runtime/crc32c.h"
#include "runtime/sys.h"

static const char *const folder[2] = {"tensorboard/train", "tensorboard/validation"};

/* ---- messages ---- */

static void put_little(RtText *t, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		rt_text_add(t, &(unsigned char){(unsigned char)(v >> 8 * i)}, 1);
}

static void put_varint(RtText *t, uint64_t v)
{
	for (; v > 127; v >>= 7)
		rt_text_add(t, &(unsigned char){(unsigned char)(v | 128)}, 1);
	rt_text_add(t, &(unsigned char){(unsigned char)v}, 1);
}

enum { VARINT, FIXED64, BYTES, FIXED32 = 5 };

static void put_key(RtText *t, int field, int wire)
{
	put_varint(t, (uint64_t)(field << 3 | wire));
}

static void put_bytes(RtText *t, int field, const void *bytes, size_t n)
{
	put_key(t, field, BYTES);
	put_varint(t, n);
	rt_text_add(t, bytes, n);
}

static uint32_t masked(const void *bytes, size_t n)
{
	uint32_t crc = rt_crc32c(0, bytes, n);
	return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put_record(RtText *out, const RtText *event)
{
	RtText length = {0};
	put_little(&length, event->n, 8);
	rt_text_add(out, length.text, length.n);
	put_little(out, length.text ? masked(length.text, length.n) : 0, 4);
	rt_text_add(out, event->text, event->n);
	put_little(out, event->text ? masked(event->text, event->n) : 0, 4);
	out->failed = out->failed || event->failed || length.failed;
	rt_text_free(&length);
}

static void put_wall(RtText *event, double wall)
{
	uint64_t bits;
	memcpy(&bits, &wall, sizeof bits);
	put_key(event, 1, FIXED64);
	put_little(event, bits, 8);
}

void rt_board_version(RtText *out, double wall)
{
	static const char version[] = "brain.Event:2";
	RtText event = {0};
	put_wall(&event, wall);
	put_bytes(&event, 3, version, sizeof version - 1);
	put_record(out, &event);
	rt_text_free(&event);
}

/* Event {1: wall time, 2: step, 5: Summary {1: Value {1: tag, 2: simple value}}} */
void rt_board_scalar(RtText *out, double wall, int64_t step, const char *tag, float value)
{
	RtText event = {0}, summary = {0}, one = {0};
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	put_bytes(&one, 1, tag, strlen(tag));
	put_key(&one, 2, FIXED32);
	put_little(&one, bits, 4);
	put_bytes(&summary, 1, one.text, one.n);
	put_wall(&event, wall);
	put_key(&event, 2, VARINT);
	put_varint(&event, (uint64_t)step);
	put_bytes(&event, 5, summary.text, summary.n);
	event.failed = event.failed || one.failed || summary.failed;
	put_record(out, &event);
	rt_text_free(&one);
	rt_text_free(&summary);
	rt_text_free(&event);
}

/* ---- files ---- */

void rt_board_open(RtBoard *b, const char *run, int64_t realtime_ns)
{
	*b = (RtBoard){.made_ns = realtime_ns, .rows = {-1, -1}};
	for (int i = 0; i < 2; i++) {
		if (!rt_path_join(b->path[i], run, folder[i]))
			b->path[i][0] = '\0';
	}
}

/* Those of earlier processes: theirs is repeated in ours. */
static void remove_old(const char *path)
{
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		char file[RT_PATH_MAX];
		if (strncmp(e->d_name, "events.out.tfevents.", 20) == 0 && rt_path_join(file, path, e->d_name))
			rt_sys.unlink(file);
	}
	if (d)
		closedir(d);
}

/* "epoch_loss", "epoch_learning_rate"; NULL: not of this file (epoch, step and time are what Event itself says). */
static const char *tag_of(const char *name, bool validation, char out[100])
{
	bool val = strncmp(name, "val_", 4) == 0;
	if (val != validation || strcmp(name, "epoch") == 0 || strcmp(name, "step") == 0 || strcmp(name, "time_s") == 0)
		return NULL;
	snprintf(out, 100, "epoch_%s", name + (val ? 4 : 0));
	return out;
}

static bool has_any(const RtHistory *h, bool validation)
{
	char tag[100];
	for (int c = 0; c < h->columns; c++) {
		if (tag_of(h->name[c], validation, tag))
			return true;
	}
	return false;
}

/* Steps are epochs from 0, as Keras counts them. */
static void put_rows(RtText *out, const RtHistory *h, bool validation, int from, double now, double seconds)
{
	const int epoch = rt_history_column(h, "epoch"), at = rt_history_column(h, "time_s");
	char tag[100];
	for (int r = from; r < h->rows && epoch >= 0 && at >= 0; r++) {
		const double wall = now - (seconds - rt_history_at(h, r, at));
		for (int c = 0; c < h->columns; c++) {
			if (tag_of(h->name[c], validation, tag))
				rt_board_scalar(out, wall, (int64_t)rt_history_at(h, r, epoch) - 1, tag, (float)rt_history_at(h, r, c));
		}
	}
}

static RtStatus add_to(const char *path, const RtText *t)
{
	size_t at = 0;
	int fd = rt_sys.open(path, O_WRONLY | O_APPEND, 0666);
	if (fd < 0)
		return rt_fail_errno(RT_IO, "open", path);
	while (at < t->n) {
		ssize_t n = rt_sys.write(fd, t->text + at, t->n - at);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	RtStatus s = at == t->n ? RT_OK : rt_fail_errno(RT_IO, "write", path);
	return rt_sys.close(fd) == 0 || s != RT_OK ? s : rt_fail_errno(RT_IO, "write", path);
}

static RtStatus write_one(RtBoard *b, int i, const RtHistory *h, double now, double seconds)
{
	char file[RT_PATH_MAX], name[80];
	bool fresh = b->rows[i] < 0;
	RtText t = {0};
	snprintf(name, sizeof name, "events.out.tfevents.%lld.cnnc", (long long)(b->made_ns / 1000000000));
	if (!b->path[i][0] || !rt_path_join(file, b->path[i], name))
		return rt_fail(RT_IO, "the path of the event files is too long");
	if (fresh)
		rt_board_version(&t, (double)b->made_ns / 1e9);
	put_rows(&t, h, i == 1, fresh ? 0 : b->rows[i], now, seconds);
	RtStatus s = t.failed ? rt_fail(RT_NOMEM, "out of memory for the event file") : RT_OK;
	if (s == RT_OK && fresh) {
		s = rt_make_dirs(b->path[i]);
		remove_old(b->path[i]);
	}
	if (s == RT_OK && t.n)
		s = fresh ? rt_write_file(file, t.text, t.n, 0666) : add_to(file, &t);
	b->rows[i] = s == RT_OK ? h->rows : -1; /* half a record may be there */
	rt_text_free(&t);
	return s;
}

RtStatus rt_board_write(RtBoard *b, const RtHistory *h, int64_t realtime_ns, double seconds)
{
	RtStatus s = RT_OK;
	for (int i = 0; i < 2 && s == RT_OK; i++) {
		if (has_any(h, i == 1))
			s = write_one(b, i, h, (double)realtime_ns / 1e9, seconds);
	}
	return s;
}
