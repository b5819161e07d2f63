/* link.c -- object and runtime archive to program, by the system's C compiler as linker
 *
 * Finds the archives relative to this executable, so the build tree and an installed tree both work. Gives one sentence for
 * each thing that can be missing; what the linker itself has to say goes to stderr as it is.
 */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "codegen/codegen.h"

extern char **environ;

enum { MAX_FLAGS = 48, MAX_PATH = 4096 };

typedef struct Command {
	Arena *arena;
	const char **arg;
	int n, room;
} Command;

static void say(Command *c, const char *arg)
{
	INVARIANT(c->n < c->room);
	c->arg[c->n++] = arg;
}

static bool exists(const char *path)
{
	return access(path, R_OK) == 0;
}

/* Flags that the build wants in every program (sanitizers): one line, split at blanks. */
static void say_flags_of_file(Command *c, const char *path)
{
	char line[1024];
	FILE *f = fopen(path, "r");
	if (!f)
		return;
	if (fgets(line, sizeof(line), f)) {
		char *rest = NULL, *copy = arena_strdup(c->arena, line);
		for (char *w = strtok_r(copy, " \t\n", &rest); w && c->n < c->room - 16; w = strtok_r(NULL, " \t\n", &rest))
			say(c, w);
	}
	fclose(f);
}

static void say_archives(Command *c, const char *libdir)
{
	static const char *const library[] = {"libjpeg.a", "libpng16.a", "libpng.a", "libjansson.a", "libz.a", "libevent.a"};
	for (size_t i = 0; i < COUNT(library); i++) {
		const char *path = arena_printf(c->arena, "%s/%s", libdir, library[i]);
		if (exists(path))
			say(c, path);
	}
}

static bool start(const Command *c, pid_t *child, Diag *d)
{
	int error = posix_spawnp(child, c->arg[0], NULL, NULL, (char *const *)(uintptr_t)c->arg, environ);
	if (error == ENOENT) {
		diag_error(d, (Loc){0}, "the linker '%s' was not found", c->arg[0]);
		diag_note(d, "help", "install a C compiler (Debian: gcc libc6-dev), or name another with --linker");
		return false;
	}
	return !error || diag_error(d, (Loc){0}, "cannot start the linker '%s': %s", c->arg[0], strerror(error));
}

static bool finish(const Command *c, pid_t child, Diag *d)
{
	int status = 0;
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return diag_error(d, (Loc){0}, "cannot wait for the linker '%s': %s", c->arg[0], strerror(errno));
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		return diag_error(d, (Loc){0}, "the linker '%s' failed with exit status %d", c->arg[0], WEXITSTATUS(status));
	return diag_error(d, (Loc){0}, "the linker '%s' was killed by signal %d", c->arg[0], WTERMSIG(status));
}

static bool command(Command *c, const CgLink *l, Diag *d)
{
	const char *runtime = arena_printf(c->arena, "%s/libcnnc_%s.a", l->libdir,
	                                   l->trainer ? "train" : l->serves ? "serve" : "predict");
	if (!exists(runtime))
		return diag_error(d, (Loc){0}, "cannot read the runtime archive %s: %s", runtime, strerror(errno));
	c->room = l->nobjects + MAX_FLAGS;
	c->arg = (const char **)arena_alloc(c->arena, (size_t)c->room + 1, sizeof(*c->arg));
	say(c, l->linker && *l->linker ? l->linker : "cc");
	say(c, "-o");
	say(c, l->output);
	for (int i = 0; i < l->nobjects; i++)
		say(c, l->object[i]);
	say(c, runtime);
	say_archives(c, l->libdir);
	say_flags_of_file(c, arena_printf(c->arena, "%s/link-flags", l->libdir));
	say(c, "-pie");
	say(c, "-Wl,--gc-sections");
	say(c, "-Wl,-z,relro,-z,now");
	if (l->strip)
		say(c, "-s");
	say(c, "-lm");
	say(c, "-lpthread");
	return true;
}

bool cg_link(const CgLink *l, int n, Diag *d)
{
	Arena *a = arena_new();
	Command *c = NEWN(a, Command, n);
	pid_t *child = NEWN(a, pid_t, n);
	bool ok = true;
	int started = 0;
	for (; ok && started < n; started += ok) {
		c[started].arena = a;
		ok = command(&c[started], &l[started], d) && start(&c[started], &child[started], d);
	}
	for (int i = 0; i < started; i++)
		ok = finish(&c[i], child[i], d) && ok;
	arena_free(a);
	return ok;
}

const char *cg_libdir(Arena *a, Diag *d)
{
	static const char *const place[] = {"lib/cnnc", "../lib/cnnc"};
	char self[MAX_PATH];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0) {
		diag_error(d, (Loc){0}, "cannot find this program's own file: %s", strerror(errno));
		return NULL;
	}
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	*(slash ? slash : self) = '\0';
	for (size_t i = 0; i < COUNT(place); i++) {
		const char *dir = arena_printf(a, "%s/%s", self, place[i]);
		if (exists(arena_printf(a, "%s/libcnnc_predict.a", dir)))
			return dir;
	}
	diag_error(d, (Loc){0}, "the runtime archives were not found in %s/lib/cnnc or %s/../lib/cnnc", self, self);
	return NULL;
}
