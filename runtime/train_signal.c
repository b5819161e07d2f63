/* train_signal.c -- SIGINT and SIGTERM ask the loop to stop; a second one ends the process at once
 *
 * The flag is the one piece of global state in the runtime: a signal handler has nothing else. Files are written whole
 * or not at all, so that ending at once harms nothing.
 */
#include <signal.h>
#include <string.h>
#include "runtime/train.h"

static atomic_int stop;

static void on_signal(int number)
{
	atomic_store(&stop, number);
}

void rt_stop_on_signals(void)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	action.sa_flags = (int)SA_RESETHAND;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void rt_stop_reset(void)
{
	atomic_store(&stop, 0);
}

const atomic_int *rt_stop_flag(void)
{
	return &stop;
}
