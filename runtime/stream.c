/* stream.c -- batches in the order of (seed, pass), with threads that make samples ahead
 *
 * Tick t = pass * count + position is the t-th sample of the endless sequence. Ticks are made into a ring of slots,
 * tick t in slot t % slots, by workers that take the next tick each; the consumer takes them in order and skips the
 * bad. What arrives is a function of (dataset, seed, tick) alone, whoever made it and when.
 *
 * A sample that the cache has is copied from there and its slot is not looked at, so workers sleep once all is cached.
 * Under `lock` are: claim, next, closing, paused, running, failure, the slots' heads, and the two permutations (pass p
 * in order[p % 2]).
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/dataset.h"
#include "runtime/random.h"
#include "runtime/sys.h"

enum { REASON_MAX = 512, MOST_WORKERS = 256 };

typedef enum SlotKind { SLOT_ROW, SLOT_CACHED, SLOT_BAD, SLOT_FAILED } SlotKind;

typedef struct Slot {
	uint64_t tick;
	SlotKind kind;   /* of `tick`, when not busy */
	RtStatus status; /* SLOT_FAILED; the reason is in the stream */
	bool busy;       /* a worker writes it */
} Slot;

struct RtStream {
	RtDataset *data;
	RtStreamSpec spec;
	uint64_t count; /* samples of a pass */
	uint64_t tick;  /* the consumer's */
	bool ended;     /* not endless, and the pass is over */
	bool settled;   /* nothing is left to make: every sample is cached or bad */

	unsigned char *x, *y, *rows, *further[RT_DATA_ARRAYS]; /* further: parallel to the spec's */
	size_t x_bytes, y_bytes, rows_bytes;
	uint32_t *id;
	uint32_t *order[2];     /* NULL without shuffle */
	uint64_t order_pass[2]; /* which pass is there; UINT64_MAX: none */

	Slot *slot;
	uint64_t slots, claim, next; /* workers take claim …, slots of ticks before next are free */
	pthread_t *thread;
	int threads;
	bool closing, paused;
	int running;              /* workers that are making a sample */
	char failure[REASON_MAX]; /* of the last SLOT_FAILED */
	pthread_mutex_t lock;
	pthread_cond_t work, done;
};

#define NO_TICK UINT64_MAX

/* ---- the order ---- */

/* With the lock held. Passes that are needed at one time follow each other, so two arrays do. */
static void need_order(RtStream *s, uint64_t pass)
{
	if (!s->spec.shuffle || s->order_pass[pass % 2] == pass)
		return;
	rt_permutation(s->spec.seed, (uint32_t)pass, RT_STREAM_ORDER, (uint32_t)s->count, s->order[pass % 2]);
	s->order_pass[pass % 2] = pass;
}

/* Index in the dataset of a tick whose pass's order is there. */
static uint32_t index_of(const RtStream *s, uint64_t tick)
{
	uint64_t at = tick % s->count;
	return s->spec.shuffle ? s->order[tick / s->count % 2][at] : (uint32_t)at;
}

/* ---- making ---- */

static bool slots_new(RtStream *s)
{
	size_t n = (size_t)s->slots;
	if (!size_mul(n, rt_store_row_bytes(s->data->store), &s->rows_bytes))
		return false;
	s->slot = rt_sys.alloc(n * sizeof *s->slot);
	s->rows = rt_sys.slab(s->rows_bytes);
	for (size_t i = 0; i < n && s->slot; i++)
		s->slot[i].tick = NO_TICK;
	return s->slot && s->rows;
}

/* Makes sample `index` of the dataset for a tick, whose slot's row nobody else uses meanwhile. */
static RtStatus make(RtStream *s, uint64_t tick, uint32_t index, SlotKind *kind)
{
	RtStore *store = s->data->store;
	bool cached;
	RtStatus status = rt_store_load(store, rt_dataset_at(s->data, index),
					s->rows + tick % s->slots * rt_store_row_bytes(store), &cached);
	*kind = status == RT_BAD_DATA ? SLOT_BAD : status ? SLOT_FAILED : cached ? SLOT_CACHED : SLOT_ROW;
	return status;
}

/* With the lock held where there are workers. The message is that of this thread's failure. */
static void finish(RtStream *s, Slot *slot, SlotKind kind, RtStatus status)
{
	slot->kind = kind;
	slot->status = status;
	slot->busy = false;
	if (kind == SLOT_FAILED)
		snprintf(s->failure, sizeof s->failure, "%s", rt_message());
}

/* The first tick that must not be made yet: its slot is in use, its pass's order would displace the consumer's, or a
 * stream that is not endless ends before it. */
static uint64_t limit_of(const RtStream *s)
{
	uint64_t pass = s->next / s->count, ring = s->next + s->slots;
	uint64_t order = (pass + (s->spec.endless ? 2 : 1)) * s->count;
	return ring < order ? ring : order;
}

/* With the lock held: a tick for a worker, or NO_TICK when there is nothing to do for now. */
static uint64_t claim(RtStream *s)
{
	if (s->claim < s->next)
		s->claim = s->next;
	if (s->paused || s->settled || s->claim >= limit_of(s) || s->slot[s->claim % s->slots].busy)
		return NO_TICK;
	need_order(s, s->claim / s->count);
	return s->claim++;
}

static void *worker(void *arg)
{
	RtStream *s = arg;
	pthread_mutex_lock(&s->lock);
	while (!s->closing) {
		uint64_t tick = claim(s);
		if (tick == NO_TICK) {
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		Slot *slot = &s->slot[tick % s->slots];
		SlotKind kind;
		uint32_t index = index_of(s, tick); /* now: the order may go before the sample is made */
		slot->busy = true;
		slot->tick = tick;
		s->running++;
		pthread_mutex_unlock(&s->lock);
		RtStatus status = make(s, tick, index, &kind);
		pthread_mutex_lock(&s->lock);
		finish(s, slot, kind, status);
		s->running--;
		if (tick == s->next || s->paused)
			pthread_cond_signal(&s->done);
		if (s->claim % s->slots == tick % s->slots) /* others may wait for this slot */
			pthread_cond_broadcast(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- taking ---- */

/* Waits until the tick's slot is made, or makes it. */
static Slot *slot_of(RtStream *s, uint64_t tick)
{
	Slot *slot = &s->slot[tick % s->slots];
	if (!s->threads) {
		SlotKind kind;
		if (slot->tick == tick)
			return slot;
		RtStatus status = make(s, tick, index_of(s, tick), &kind);
		finish(s, slot, kind, status);
		slot->tick = tick;
		return slot;
	}
	pthread_mutex_lock(&s->lock);
	s->next = tick;
	pthread_cond_broadcast(&s->work);
	while (slot->tick != tick || slot->busy)
		pthread_cond_wait(&s->done, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return slot;
}

/* What the sample of a tick is; *slot where it is made anew. */
static SlotKind look(RtStream *s, uint64_t tick, Slot **slot)
{
	RtStore *store = s->data->store;
	int state = rt_store_state(store, rt_dataset_at(s->data, index_of(s, tick)));
	*slot = NULL;
	if (store->direct || state == RT_SAMPLE_READY)
		return SLOT_CACHED;
	if (state >= RT_SAMPLE_BAD)
		return SLOT_BAD;
	*slot = slot_of(s, tick);
	return (*slot)->kind;
}

static RtStatus bad_sample(RtStream *s, uint32_t index)
{
	char text[REASON_MAX];
	rt_store_meet(s->data->store, index);
	if (!s->data->store->spec.stop_on_error)
		return RT_OK;
	rt_store_reason(s->data->store, index, text, sizeof text);
	return rt_fail(RT_BAD_DATA, "%s", text);
}

/* Stays failed until a seek. */
static RtStatus failed(RtStream *s, const Slot *slot)
{
	pthread_mutex_lock(&s->lock);
	RtStatus status = rt_fail(slot->status, "%s", s->failure);
	pthread_mutex_unlock(&s->lock);
	return status;
}

/* The tick's sample becomes row out->n of the batch, or is skipped. */
static RtStatus take(RtStream *s, uint64_t tick, RtBatch *out)
{
	RtStore *store = s->data->store;
	size_t row = store->spec.xport.row_bytes, label = store->spec.has_y ? store->spec.yport.row_bytes : 0;
	unsigned char *x = out->x + (size_t)out->n * row, *y = out->y + (size_t)out->n * label;
	uint32_t i = index_of(s, tick), index = rt_dataset_at(s->data, i);
	Slot *slot;
	SlotKind kind = look(s, tick, &slot);
	if (kind == SLOT_BAD)
		return bad_sample(s, index);
	if (kind == SLOT_FAILED)
		return failed(s, slot);
	if (kind == SLOT_ROW) {
		const unsigned char *made = s->rows + tick % s->slots * rt_store_row_bytes(store);
		memcpy(x, made, row);
		if (store->spec.masks)
			memcpy(y, made + row, label);
	} else {
		RtStatus status = rt_store_copy(store, index, x, store->spec.masks ? y : NULL);
		if (status)
			return status;
	}
	if (store->spec.has_y && !store->spec.masks)
		rt_store_y(store, index, y);
	for (int k = 0; k < store->spec.nfurther; k++) {
		const RtPort *port = &store->spec.further[k].port;
		rt_npy_row(&store->further[k], index, port, s->further[k] + (size_t)out->n * port->row_bytes);
	}
	out->id[out->n++] = i;
	return RT_OK;
}

/* Skips bad samples that follow, so that it is known whether this batch is the pass's last. */
static RtStatus skip_bad(RtStream *s, uint64_t end)
{
	Slot *slot;
	if (s->data->store->spec.stop_on_error)
		return RT_OK;
	for (; s->tick < end && look(s, s->tick, &slot) == SLOT_BAD; s->tick++)
		rt_store_meet(s->data->store, rt_dataset_at(s->data, index_of(s, s->tick)));
	return RT_OK;
}

static bool all_settled(const RtStream *s)
{
	for (int64_t i = 0; i < s->data->count; i++) {
		int state = rt_store_state(s->data->store, rt_dataset_at(s->data, i));
		if (state < RT_SAMPLE_READY)
			return false;
	}
	return true;
}

/* Publishes the consumer's place to the workers. */
static void publish(RtStream *s)
{
	bool settled = s->settled || s->data->store->direct || (s->tick % s->count == 0 && all_settled(s));
	pthread_mutex_lock(&s->lock);
	s->next = s->tick;
	s->settled = settled;
	need_order(s, s->tick / s->count);
	if (!settled)
		pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
}

static RtStatus nothing_readable(RtStream *s)
{
	char text[REASON_MAX];
	rt_store_reason(s->data->store, rt_dataset_at(s->data, 0), text, sizeof text);
	return rt_fail(RT_BAD_DATA, "none of the %lld samples can be read; %s", (long long)s->count, text);
}

/* Samples of the pass that `tick` is in, until the batch is full or the pass over. */
static RtStatus fill(RtStream *s, RtBatch *out)
{
	uint64_t pass = s->tick / s->count, end = (pass + 1) * s->count;
	RtStatus status = RT_OK;
	while (!status && s->tick < end && out->n < s->spec.batch) {
		status = take(s, s->tick, out);
		s->tick += !status;
	}
	if (!status)
		status = skip_bad(s, end);
	out->pass = (uint32_t)pass;
	out->last_of_pass = s->tick == end;
	s->ended = !s->spec.endless && s->tick == end;
	return status;
}

/* The first row behind the last, so that "the next sample" has one place for all. */
static void close_circle(const RtStream *s, const RtBatch *b)
{
	const RtDataSpec *spec = &s->data->store->spec;
	size_t n = (size_t)b->n, y = spec->has_y ? spec->yport.row_bytes : 0;
	memcpy(b->x + n * spec->xport.row_bytes, b->x, spec->xport.row_bytes);
	memcpy(b->y + n * y, b->y, y);
	b->id[n] = b->id[0];
}

RtStatus rt_stream_next(RtStream *s, RtBatch *out)
{
	*out = (RtBatch){.x = s->x, .y = s->y, .further = s->further, .id = s->id, .pass = (uint32_t)(s->tick / s->count)};
	RtStatus status = RT_OK;
	uint64_t first = s->tick;
	while (!status && !out->n && !s->ended) {
		if (s->tick - first >= 2 * s->count) /* a whole pass at the least gave nothing */
			return nothing_readable(s);
		status = fill(s, out);
		if (!s->ended)
			publish(s);
	}
	if (!status && s->ended && !out->n && s->tick - first == s->count)
		return nothing_readable(s);
	if (!status && out->n)
		close_circle(s, out);
	return status;
}

void rt_stream_ports(const RtStream *s, const RtBatch *b, const RtEntry *e, unsigned char **ports)
{
	const RtDataSpec *spec = &s->data->store->spec;
	for (uint32_t i = 0; i < e->nin; i++) {
		const char *name = e->in[i].name;
		ports[i] = spec->has_y && strcmp(name, spec->yport.name) == 0 ? b->y :
			   strcmp(name, "id") == 0 ? (unsigned char *)b->id : b->x;
		for (int k = 0; k < spec->nfurther; k++) {
			if (strcmp(name, spec->further[k].port.name) == 0)
				ports[i] = b->further[k];
		}
		if (strcmp(name, "x_next") == 0)
			ports[i] = b->x + spec->xport.row_bytes;
		else if (strcmp(name, "y_next") == 0)
			ports[i] = b->y + spec->yport.row_bytes;
		else if (strcmp(name, "id_next") == 0)
			ports[i] = (unsigned char *)(b->id + 1);
	}
}

/* ---- place ---- */

void rt_stream_tell(const RtStream *s, uint32_t *pass, int64_t *position)
{
	uint64_t tick = s->ended ? s->tick - 1 : s->tick; /* at its end such a stream is still in its pass */
	*pass = (uint32_t)(tick / s->count);
	*position = (int64_t)(tick % s->count) + s->ended;
}

RtStatus rt_stream_seek(RtStream *s, uint32_t pass, int64_t position)
{
	if (position < 0 || (uint64_t)position > s->count)
		return rt_fail(RT_INTERNAL, "sample %lld of %llu can't be sought", (long long)position,
			       (unsigned long long)s->count);
	pthread_mutex_lock(&s->lock);
	s->paused = true;
	while (s->running)
		pthread_cond_wait(&s->done, &s->lock);
	s->tick = (uint64_t)pass * s->count + (uint64_t)position;
	s->ended = !s->spec.endless && (uint64_t)position == s->count;
	s->claim = s->next = s->tick;
	for (uint64_t i = 0; i < s->slots; i++)
		s->slot[i].tick = NO_TICK;
	s->paused = false;
	pthread_mutex_unlock(&s->lock);
	if (!s->ended)
		publish(s);
	return RT_OK;
}

/* ---- making a stream ---- */

static bool buffers_new(RtStream *s)
{
	const RtDataSpec *spec = &s->data->store->spec;
	size_t n = (size_t)s->spec.batch + 1; /* behind the last row the first again: see rt_stream_ports */
	size_t y = spec->has_y ? spec->yport.row_bytes : 1;
	if (!size_mul(n, spec->xport.row_bytes, &s->x_bytes) || !size_mul(n, y, &s->y_bytes))
		return false;
	s->x = rt_sys.slab(s->x_bytes);
	s->y = rt_sys.slab(s->y_bytes);
	s->id = rt_sys.alloc(n * sizeof *s->id);
	for (int i = 0; i < 2 && s->spec.shuffle; i++)
		if (!(s->order[i] = rt_sys.alloc((size_t)s->count * sizeof **s->order)))
			return false;
	for (int i = 0; i < spec->nfurther; i++) {
		size_t bytes;
		if (!size_mul(n, spec->further[i].port.row_bytes, &bytes) || !(s->further[i] = rt_sys.slab(bytes)))
			return false;
	}
	return s->x && s->y && s->id && (s->data->store->direct || slots_new(s));
}

/* Fewer threads than asked for, or none, only make it slower. Signals are for the program's own threads. */
static void start_workers(RtStream *s)
{
	sigset_t all, before;
	int n = s->spec.workers > MOST_WORKERS ? MOST_WORKERS : s->spec.workers;
	if (n < 1 || s->data->store->direct || !(s->thread = rt_sys.alloc((size_t)n * sizeof *s->thread)))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int started = 0;
	while (started < n && !pthread_create(&s->thread[started], NULL, worker, s))
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->threads = started;
}

RtStatus rt_stream_new(RtDataset *d, const RtStreamSpec *spec, RtStream **out)
{
	*out = NULL;
	if (spec->batch < 1)
		return rt_fail(RT_USAGE, "the batch size is %d, it must be at least 1", spec->batch);
	RtStream *s = rt_sys.alloc(sizeof *s);
	if (!s)
		return rt_fail(RT_NOMEM, "out of memory while opening the data stream");
	s->data = d;
	s->spec = *spec;
	s->count = (uint64_t)d->count;
	s->order_pass[0] = s->order_pass[1] = UINT64_MAX;
	int64_t ahead = spec->workers < 1 ? 0 : spec->ahead < 1 ? 1 : spec->ahead > 1024 ? 1024 : spec->ahead;
	s->slots = d->store->direct ? 0 : ahead ? (uint64_t)spec->batch * (uint64_t)(ahead + 1) : 1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->done, NULL);
	if (!buffers_new(s)) {
		rt_stream_free(s);
		return rt_fail(RT_NOMEM, "out of memory: batches of %d samples", spec->batch);
	}
	publish(s);
	start_workers(s);
	*out = s;
	return RT_OK;
}

static void stop_workers(RtStream *s)
{
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < s->threads; i++)
		pthread_join(s->thread[i], NULL);
}

void rt_stream_free(RtStream *s)
{
	if (!s)
		return;
	stop_workers(s);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->done);
	pthread_mutex_destroy(&s->lock);
	if (s->x)
		rt_sys.slab_free(s->x, s->x_bytes);
	if (s->y)
		rt_sys.slab_free(s->y, s->y_bytes);
	if (s->rows)
		rt_sys.slab_free(s->rows, s->rows_bytes);
	for (int i = 0; i < RT_DATA_ARRAYS && s->further[i]; i++)
		rt_sys.slab_free(s->further[i], (size_t)s->spec.batch * s->data->store->spec.further[i].port.row_bytes);
	rt_sys.release(s->slot);
	rt_sys.release(s->id);
	rt_sys.release(s->order[0]);
	rt_sys.release(s->order[1]);
	rt_sys.release(s->thread);
	rt_sys.release(s);
}
