/* dataset.h -- inside of a dataset: the store that its views share
 *
 * A store is written by the one thread that opens it and is constant from then on, but for the state of each sample,
 * the cache row that a state guards, and the list of bad samples, which has a lock. Any number of streams may read from
 * it.
 */
#ifndef CNNC_RUNTIME_DATASET_H
#define CNNC_RUNTIME_DATASET_H

#include <pthread.h>
#include <stdatomic.h>
#include "runtime/data.h"

/* COLD -> BUSY -> READY or BAD -> MET. BUSY: one thread fills the cache row. READY: the cache has it, for good. BAD: it
 * can't be read, and isn't tried again; MET: and a stream has come past it, so it is counted. */
enum { RT_SAMPLE_COLD, RT_SAMPLE_BUSY, RT_SAMPLE_READY, RT_SAMPLE_BAD, RT_SAMPLE_MET };

typedef struct RtPicture {     /* of a folder */
	uint64_t path;         /* offset in paths */
	int64_t size, changed; /* as they were when the folder was read */
} RtPicture;

typedef struct RtBadSample {
	uint32_t index;
	char *reason;
} RtBadSample; /* reason NULL: there was no memory for it */

typedef struct RtStore {
	RtDataSpec spec; /* its strings are not looked at after opening */
	int64_t count;
	int32_t *label; /* class of each sample, or NULL */
	unsigned char *many; /* (count, classes) of 0 and 1, or NULL */
	char **class_name;
	int classes;

	RtPicture *picture; /* folders */
	char *paths, *masks;   /* masks: spec.masks, its own copy */
	size_t root;           /* length of the directory's name and a slash, at the start of each path */
	unsigned char *pixels; /* idx: (count, height, width, channels) */
	size_t pixels_bytes;
	int height, width, channels;
	RtNpy x, y, further[RT_DATA_ARRAYS]; /* parallel to spec.further */

	bool direct;         /* rows come straight from memory: nothing to decode ahead or to cache */
	unsigned char *rows; /* cache in memory, or NULL */
	size_t rows_bytes;
	int cache_fd; /* cache on disk, or -1 */
	atomic_uchar *state;
	pthread_mutex_t lock; /* of what follows */
	RtBadSample *bad;
	size_t nbad, bad_room;
} RtStore;

struct RtDataset {
	RtStore *store;
	uint32_t *index; /* sample of the store, or NULL: all in order */
	int64_t count;
	bool owner;
};

static inline uint32_t rt_dataset_at(const RtDataset *d, int64_t i)
{
	return d->index ? d->index[i] : (uint32_t)i;
}

/* ---- what fills a store (dataset_dir.c, dataset_idx.c, dataset_npy.c, dataset_csv.c); on failure rt_dataset_open frees what is there
 * ---- */
RtStatus rt_store_open_folder(RtStore *s);
RtStatus rt_store_open_idx(RtStore *s);
RtStatus rt_store_open_npy(RtStore *s);
RtStatus rt_store_open_csv(RtStore *s);
/* Appends a picture of the folder or table; *room starts as zero. */
typedef struct RtPictureRoom { size_t used, room, pictures; } RtPictureRoom; /* bytes of paths; pictures */
RtStatus rt_store_add_picture(RtStore *s, RtPictureRoom *room, const char *path, size_t length, int32_t label);
void rt_store_idx_row(const RtStore *s, uint32_t i, unsigned char *row);
/* Copies names (spec's, or NULL: "0", "1", …) into class_name. */
RtStatus rt_store_name_classes(RtStore *s, char *const *names, int n);

/* ---- samples ---- */
RtStatus rt_store_cache_open(RtStore *s); /* chooses and takes the cache's memory or file */
void rt_store_cache_close(RtStore *s);
int rt_store_state(const RtStore *s, uint32_t i);
/* Makes sample i: into the cache (READY, *cached true) or, where there is none, into row. RT_BAD_DATA: the sample is
 * BAD now; another status is not the sample's fault. */
RtStatus rt_store_load(RtStore *s, uint32_t i, unsigned char *row, bool *cached);
/* The parts of a READY sample, or of any in a direct store; mask may be NULL where there are none. */
RtStatus rt_store_copy(RtStore *s, uint32_t i, unsigned char *x, unsigned char *mask);
/* A sample as it is made, kept and copied: the picture, and behind it its mask (y, where there are masks). */
static inline size_t rt_store_row_bytes(const RtStore *s)
{
	return s->spec.xport.row_bytes + (s->spec.masks ? s->spec.yport.row_bytes : 0);
}
void rt_store_y(const RtStore *s, uint32_t i, unsigned char *row);
void rt_store_meet(RtStore *s, uint32_t i); /* BAD -> MET */
/* "PATH: reason" of a bad sample; cut to fit. */
void rt_store_reason(RtStore *s, uint32_t i, char *out, size_t n);

#endif
