/* measure.c -- runs a command several times: wall time from exec to exit, and peak memory
 *
 * usage: measure TIMES COMMAND [ARGUMENT …]     prints "min_ms median_ms peak_mb" to stdout; the command's stdout is dropped
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TIMES = 1000 };

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int ascending(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;
	return (d > 0) - (d < 0);
}

int main(int argc, char **argv)
{
	static double ms[MAX_TIMES];
	struct rusage usage;
	int times = argc > 2 ? atoi(argv[1]) : 0, status = 0;
	long peak = 0;
	if (times < 1 || times > MAX_TIMES)
		return 2;
	for (int i = 0; i < times; i++) {
		double start = now_ms();
		pid_t pid = fork();
		if (pid == 0) {
			dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
			execvp(argv[2], argv + 2);
			perror(argv[2]);
			_exit(127);
		}
		if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
			return 1;
		ms[i] = now_ms() - start;
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "measure: %s failed\n", argv[2]);
			return 1;
		}
		peak = usage.ru_maxrss > peak ? usage.ru_maxrss : peak;
	}
	qsort(ms, (size_t)times, sizeof *ms, ascending);
	printf("%.2f %.2f %.1f\n", ms[0], ms[times / 2], (double)peak / 1024);
	return 0;
}
