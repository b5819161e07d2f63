/* interruptible.c -- runs a command with SIGINT at its default: a shell starts background jobs with SIGINT ignored
 *
 * usage: interruptible COMMAND [ARGUMENT …]
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	signal(SIGINT, SIG_DFL);
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
