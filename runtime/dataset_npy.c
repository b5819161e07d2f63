/* dataset_npy.c -- a dataset of .npy arrays: the model's own inputs and their targets, row by row
 *
 * All stay mapped. Shapes must be the ports'; where a row is one number, (N) and (N, 1) are the same. Labels of
 * classes are read once, to refuse what is no class.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "runtime/dataset.h"
#include "runtime/sys.h"

static void print_shape(char *out, size_t n, const int64_t *dim, int rank, bool any_first)
{
	size_t used = (size_t)snprintf(out, n, "(%s", any_first ? "N" : "");
	for (int i = any_first; i < rank && used < n; i++)
		used += (size_t)snprintf(out + used, n - used, "%s%lld", i ? ", " : "", (long long)dim[i]);
	if (used < n)
		snprintf(out + used, n - used, ")");
}

static int64_t row_elems(const int64_t *dim, int rank)
{
	int64_t n = 1;
	for (int i = 1; i < rank; i++)
		n *= dim[i]; /* of a port, or of an array whose size was checked */
	return n;
}

static RtStatus check_shape(const char *path, const RtNpy *a, const RtPort *port, const char *what)
{
	bool same = a->rank >= 1 && a->rank == port->rank;
	for (int i = 1; same && i < a->rank; i++)
		same = a->dim[i] == port->dim[i];
	bool number =
		a->rank >= 1 && a->bytes && row_elems(a->dim, a->rank) == 1 && row_elems(port->dim, port->rank) == 1;
	if (same || number)
		return RT_OK;
	char have[160], want[160];
	print_shape(have, sizeof have, a->dim, a->rank, false);
	print_shape(want, sizeof want, port->dim, port->rank, true);
	return rt_fail(RT_BAD_DATA, "%s has the shape %s, the model's %s is %s", path, have, what, want);
}

/* Labels of classes: whole numbers from 0 on, below the number of classes where that is known. */
static RtStatus read_labels(RtStore *s)
{
	RtPort number = {.dtype = RT_F64, .row_bytes = sizeof(double)};
	int32_t most = 0;
	s->label = rt_sys.alloc((size_t)s->count * sizeof *s->label);
	if (!s->label)
		return rt_fail(RT_NOMEM, "out of memory: %lld labels", (long long)s->count);
	for (int64_t i = 0; i < s->count; i++) {
		double x;
		rt_npy_row(&s->y, i, &number, (unsigned char *)&x);
		if (!(x >= 0 && x < INT32_MAX && x == floor(x)))
			return rt_fail(RT_BAD_DATA, "%s: label %lld is %g, which is no class", s->spec.y, (long long)i,
				       x);
		s->label[i] = (int32_t)x;
		most = s->label[i] > most ? s->label[i] : most;
	}
	if (s->spec.nclass_names && most >= s->spec.nclass_names)
		return rt_fail(RT_BAD_DATA, "%s has the label %d, but there are %d classes", s->spec.y, most,
			       s->spec.nclass_names);
	if (s->spec.nclass_names)
		return rt_store_name_classes(s, s->spec.class_names, s->spec.nclass_names);
	return most < 1 << 20 ? rt_store_name_classes(s, NULL, most + 1) : RT_OK;
}

/* An array with a row for each sample. */
static RtStatus open_array(const RtStore *s, const char *file, const RtPort *port, const char *what, RtNpy *out)
{
	RtStatus status = rt_npy_open(file, out);
	if (!status)
		status = check_shape(file, out, port, what);
	if (!status && out->dim[0] != s->count)
		return rt_fail(RT_BAD_DATA, "%s has %lld rows, %s has %lld", s->spec.x, (long long)s->count, file,
			       (long long)out->dim[0]);
	return status;
}

static RtStatus open_further(RtStore *s)
{
	RtStatus status = RT_OK;
	for (int i = 0; i < s->spec.nfurther && !status; i++) {
		const RtDataArray *a = &s->spec.further[i];
		char what[100];
		snprintf(what, sizeof what, "'%s'", strncmp(a->port.name, "y.", 2) == 0 ? a->port.name + 2 : a->port.name);
		status = open_array(s, a->file, &a->port, what, &s->further[i]);
	}
	return status;
}

RtStatus rt_store_open_npy(RtStore *s)
{
	const RtDataSpec *spec = &s->spec;
	s->direct = true;
	RtStatus status = rt_npy_open(spec->x, &s->x);
	if (!status)
		status = check_shape(spec->x, &s->x, &spec->xport, "input");
	if (status)
		return status;
	s->count = s->x.dim[0];
	if (s->count <= 0 || s->count >= UINT32_MAX)
		return rt_fail(RT_BAD_DATA, "%s holds %lld samples", spec->x, (long long)s->count);
	status = open_further(s);
	if (!status && spec->has_y)
		status = open_array(s, spec->y, &spec->yport, "target", &s->y);
	if (status || !spec->has_y)
		return status;
	bool classes = strcmp(spec->yport.name ? spec->yport.name : "y", "y") == 0 && spec->yport.dtype == RT_I32 &&
		       row_elems(spec->yport.dim, spec->yport.rank) == 1;
	return classes ? read_labels(s) : RT_OK;
}
