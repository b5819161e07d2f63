/* bench_peers.h -- the same operation by libraries that may be installed: oneDNN (libdnnl) and OpenBLAS
 *
 * They are looked for at run time and used through the few functions that are declared in bench_peers.c. Pictures are
 * NHWC as ours are, weights lie as the library likes best; nothing is allocated while a peer runs.
 */
#ifndef CNNC_BENCH_PEERS_H
#define CNNC_BENCH_PEERS_H

#include "op_graph.h"

enum { MAX_PEERS = 3 };

typedef struct Peer {
	const char *name; /* "oneDNN 3.5.3" */
	bool (*run)(void *self);
	/* Brings the result of the last run into `out`, row-major as ours; NULL: it is there already. */
	bool (*result)(void *self);
	void (*close)(void *self); /* NULL: nothing to do */
	void *self;
	float *out;
} Peer;

/* in: the two operands, row-major as ours; nout: floats of the result. Returns how many libraries can do it. */
int peers_open(const OpWork *w, const float *const in[2], size_t nout, int threads, Arena *a, Peer peer[MAX_PEERS]);

#endif
