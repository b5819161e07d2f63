/* runfolder.c -- finds, makes and locks run folders */
#include "runtime/runfolder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include "runtime/sys.h"

enum { MAX_RUNS = 100000000 };

/* "runs/NAME"; what can't be part of a file name becomes '_'. */
static RtStatus runs_of(const char *name, char *out)
{
	char safe[128];
	snprintf(safe, sizeof safe, "%s", name && name[0] ? name : "model");
	for (char *p = safe; *p; p++) {
		if (*p == '/' || (unsigned char)*p < ' ' || (*p == '.' && p == safe))
			*p = '_';
	}
	return rt_path_join(out, "runs", safe) ? RT_OK : rt_fail(RT_USAGE, "the model's name is too long");
}

bool rt_run_file(const RtRunFolder *r, const char *name, char *out)
{
	return rt_path_join(out, r->path, name);
}

static bool has_checkpoint(const char *path)
{
	char file[RT_PATH_MAX];
	struct stat st;
	for (int i = 0; i < 2; i++) {
		if (rt_path_join(file, path, i ? "checkpoint-b" : "checkpoint-a") && rt_sys.stat(file, &st) == 0)
			return true;
	}
	return false;
}

/* Highest number among the entries of `runs` (of those with a checkpoint only, if so wanted); 0: none. */
static int highest(const char *runs, bool with_checkpoint)
{
	int best = 0;
	DIR *d = opendir(runs);
	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		char *end, path[RT_PATH_MAX];
		long n = strtol(e->d_name, &end, 10);
		if (*end || n <= best || n >= MAX_RUNS || e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		if (!with_checkpoint || (rt_path_join(path, runs, e->d_name) && has_checkpoint(path)))
			best = (int)n;
	}
	if (d)
		closedir(d);
	return best;
}

static RtStatus lock(RtRunFolder *r)
{
	r->lock = rt_sys.open(r->path, O_RDONLY | O_DIRECTORY, 0);
	if (r->lock < 0)
		return rt_fail_errno(RT_IO, "open", r->path);
	if (flock(r->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		return rt_fail(RT_USAGE, "%s is in use: another process trains there", r->path);
	return RT_OK;
}

void rt_run_close(RtRunFolder *r)
{
	if (r->lock >= 0)
		rt_sys.close(r->lock);
	r->lock = -1;
}

static bool numbered(RtRunFolder *r, const char *runs, int n)
{
	char text[16];
	snprintf(text, sizeof text, "%d", n);
	return rt_path_join(r->path, runs, text);
}

RtStatus rt_run_new(RtRunFolder *r, const char *name)
{
	char runs[RT_PATH_MAX], weights[RT_PATH_MAX];
	r->lock = -1;
	RtStatus s = runs_of(name, runs);
	if (s == RT_OK)
		s = rt_make_dirs(runs);
	if (s != RT_OK)
		return s;
	for (int n = highest(runs, false) + 1;; n++) {
		if (!numbered(r, runs, n) || n >= MAX_RUNS)
			return rt_fail(RT_IO, "no free number is left in %s", runs);
		if (rt_sys.mkdir(r->path, 0777) == 0)
			break;
		if (errno != EEXIST)
			return rt_fail_errno(RT_IO, "create the folder", r->path);
	}
	s = lock(r);
	if (s == RT_OK && rt_run_file(r, "weights", weights) && rt_sys.mkdir(weights, 0777) != 0)
		s = rt_fail_errno(RT_IO, "create the folder", weights);
	return s;
}

RtStatus rt_run_latest(RtRunFolder *r, const char *name, bool *found)
{
	char runs[RT_PATH_MAX];
	r->lock = -1;
	*found = false;
	RtStatus s = runs_of(name, runs);
	int n = s == RT_OK ? highest(runs, true) : 0;
	if (n == 0)
		return s;
	*found = numbered(r, runs, n);
	return lock(r);
}
