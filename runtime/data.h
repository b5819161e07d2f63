/* data.h -- samples: where they come from, in which order, and the threads that decode them ahead of the step
 *
 * A dataset is an indexed set of samples, opened from folders of pictures, IDX files or .npy arrays. A stream turns it into
 * batches: pass p visits the samples in the permutation of (seed, p); the last batch of a pass may be partial; passes follow
 * each other without end. Workers decode into a ring by index, so what arrives never depends on timing.
 */
#ifndef CNNC_RUNTIME_DATA_H
#define CNNC_RUNTIME_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "runtime/model.h"
#include "runtime/status.h"

typedef struct RtDataset RtDataset;
typedef struct RtStream RtStream;

typedef enum RtDataType { RT_DATA_IMAGES, RT_DATA_IDX, RT_DATA_NPY, RT_DATA_CSV } RtDataType;
typedef enum RtInterpolation { RT_BILINEAR, RT_NEAREST, RT_BICUBIC, RT_AREA } RtInterpolation;
typedef enum RtCache { RT_CACHE_AUTO, RT_CACHE_RAM, RT_CACHE_DISK, RT_CACHE_NONE } RtCache;

enum { RT_DATA_ARRAYS = 16 };
typedef struct RtDataArray {    /* npy: an input or target beside x and y */
	RtPort port;
	const char *file;
} RtDataArray;

typedef struct RtDataSpec {
	RtDataType type;
	const char *directory;      /* images: CLASS/… below it */
	const char *images, *labels;/* idx */
	const char *x, *y;          /* npy */
	const char *file, *path_column, *label_column; /* csv: a table of pictures */
	bool many;                  /* csv: any number of classes a sample, y is f32[N, classes] of 0 and 1: */
	const char *separator;      /* … between their names in label_column, or */
	const char *const *class_columns; /* … one column of 0 and 1 each */
	int nclass_columns;
	const char *masks;          /* images: PNG masks, y is u8[N, height, width]; directory then has no class folders */
	int mask_classes, mask_ignored; /* classes that there are (0: any), value that a mask may have beside them (-1: none) */
	RtPort xport, yport;        /* what the model takes: u8[N,H,W,C] for pictures, the model's own input for npy; y: i32[N] or f32 */
	bool has_y;
	RtDataArray further[RT_DATA_ARRAYS];
	int nfurther;
	char **class_names;         /* wanted classes in index order, or NULL: folder names sorted bytewise */
	int nclass_names;           /* > 0 without class_names: how many classes there must be, whatever their names */
	bool crop_to_aspect_ratio, pad_to_aspect_ratio, fast_decode, stop_on_error;
	RtInterpolation interpolation;
	RtCache cache;
	int64_t max_pixels;         /* a picture's width * height beyond this is refused before decoding; 0: default */
} RtDataSpec;

/* Opens and indexes (no decoding of pictures). Missing folder, no pictures, an empty class folder …: RT_BAD_DATA, one sentence. */
RtStatus rt_dataset_open(const RtDataSpec *spec, RtDataset **out);
void rt_dataset_free(RtDataset *d);
int64_t rt_dataset_count(const RtDataset *d);
int rt_dataset_classes(const RtDataset *d);                   /* 0: labels are not classes */
const char *rt_dataset_class(const RtDataset *d, int i);
const char *rt_dataset_path(const RtDataset *d, int64_t i);   /* picture file, or NULL */
int32_t rt_dataset_label(const RtDataset *d, int64_t i);      /* class index, -1 if none */
bool rt_dataset_has(const RtDataset *d, int64_t i, int class); /* of several classes a sample */
/* The class that sample i belongs to: its index, the largest of a one-hot row, or a single number rounded; -1: none. */
int32_t rt_dataset_true_class(const RtDataset *d, int64_t i);
/* validation_split as Keras' image_dataset_from_directory does it: samples shuffled by (seed), the last fraction is
 * validation. Both share the storage of d (and its cache), which must outlive them. */
RtStatus rt_dataset_split(RtDataset *d, double fraction, uint64_t seed, RtDataset **out_train, RtDataset **out_validation);
/* 32 bytes that change when the set of files, their sizes, or the labels change. */
void rt_dataset_hash(const RtDataset *d, unsigned char out[32]);
/* Unreadable samples met so far: how many, and a line each "PATH: reason". */
int64_t rt_dataset_bad(const RtDataset *d);
void rt_dataset_print_bad(const RtDataset *d, FILE *f, int64_t at_most);

typedef struct RtBatch {        /* borrowed until the next rt_stream_next */
	int32_t n;
	unsigned char *x, *y;       /* rows as the ports want them */
	unsigned char *const *further; /* parallel to spec.further */
	uint32_t *id;               /* index in the dataset: key of the random transforms */
	uint32_t pass;
	bool last_of_pass;
} RtBatch;

typedef struct RtStreamSpec {
	int32_t batch;
	bool shuffle;
	uint64_t seed;
	int workers;                /* decoding threads; 0: decode in rt_stream_next */
	int ahead;                  /* batches decoded ahead */
	bool endless;               /* false: rt_stream_next gives n = 0 after one pass */
} RtStreamSpec;

RtStatus rt_stream_new(RtDataset *d, const RtStreamSpec *spec, RtStream **out);
void rt_stream_free(RtStream *s);
/* Next batch. A sample that can't be read is skipped and counted (the batch takes the next sample of the permutation, so only
 * the last batch of a pass gets smaller), or ends with RT_BAD_DATA when stop_on_error. Every sample bad: RT_BAD_DATA. */
RtStatus rt_stream_next(RtStream *s, RtBatch *out);
/* The batch's rows for each input of an entry, by the names of the spec's ports; "id" is the samples' ids, NAME_next the rows
 * from the second on and then the first, and what has no other name is x. */
void rt_stream_ports(const RtStream *s, const RtBatch *b, const RtEntry *e, unsigned char **ports);
/* Position of the next sample: (pass, samples of it already handed out or skipped); seek makes the stream go on exactly there. */
void rt_stream_tell(const RtStream *s, uint32_t *pass, int64_t *position);
RtStatus rt_stream_seek(RtStream *s, uint32_t pass, int64_t position);

/* ---- image.c ---- */
typedef struct RtImage { int width, height, channels; unsigned char *pixels; } RtImage; /* rows top to bottom, channels interleaved */
/* Decodes JPEG or PNG (by content) to `channels` = 1, 3 or 4; EXIF orientation applied, CMYK and 16 bit converted. Never crashes on
 * any bytes; limits are checked before memory is taken. reason: borrowed sentence when it fails. pixels: rt_sys.release. */
RtStatus rt_image_decode(const void *bytes, size_t len, int channels, int64_t max_pixels, int want_w, int want_h, bool fast,
                         RtImage *out);
bool rt_image_is_known(const char *path); /* .jpg .jpeg .png (any case) */
/* tf.image.resize: half-pixel centres, no antialiasing; bilinear rounds to nearest u8. dst: out_h * out_w * channels. */
void rt_image_resize(const RtImage *src, RtInterpolation how, int out_w, int out_h, unsigned char *dst);
/* A mask's classes into a row u8[H,W] of port y, cropped, padded and resized as its picture. */
RtStatus rt_image_load_mask(const char *path, const RtDataSpec *spec, unsigned char *row);
/* A PNG of 256 colours, one for each class; the palette is that of Pascal VOC. */
RtStatus rt_image_write_mask(const char *path, int width, int height, const unsigned char *classes);
/* Decode + optional crop/pad to aspect ratio + resize into one row of port x (u8[H,W,C]). The reason it fails for does not
 * repeat the path. */
RtStatus rt_image_load(const char *path, const RtDataSpec *spec, unsigned char *row);

/* ---- npy.c ---- */
typedef struct RtNpy {
	int32_t dtype; /* RtDType that holds its values: int64 gives RT_I32 */
	int rank;
	int64_t dim[RT_MAX_RANK];
	const unsigned char *data;
	size_t bytes;
	int npdtype; /* type in the file */
	void *base;
	size_t mapped; /* bytes at base */
	bool copied;   /* base is a slab, not a map */
} RtNpy;
RtStatus rt_npy_open(const char *path, RtNpy *out);   /* float32 float64 uint8 int32 int64, C order */
void rt_npy_close(RtNpy *a);
void rt_npy_row(const RtNpy *a, int64_t row, const RtPort *port, unsigned char *dst); /* converts to the port's dtype */
RtStatus rt_npy_write(const char *path, int32_t dtype, int rank, const int64_t *dim, const void *data);

#endif
