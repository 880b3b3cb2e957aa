/* The harness of LTP in one process, since a micro-VM has no more. LTP's tst_test.c prepares a
 * test, forks a child for each variant of it, watches that by signals and an alarm, and sums up.
 * Here the process itself becomes the child, for one variant. It ends when the variant ends, and
 * prints no summary: whoever started it watches it and reads its lines. The environment variable
 * LTP_ONE_PROCESS has the variant's number. */
#define TST_NO_DEFAULT_MAIN
#include "tst_test.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PARENT = 1 << 23, /* more than any process of Linux has as its number */
    SKIPPED
};

extern struct tst_test *tst_test;
static pid_t running; /* the process that became the test */

/* Processes of the test's own are forked as ever. */
pid_t one_process_fork(void)
{
    if (running)
        return fork();
    const char *wanted = getenv("LTP_ONE_PROCESS");
    if (tst_variant != (wanted ? strtoul(wanted, NULL, 10) : 0))
        return SKIPPED;
    dprintf(STDERR_FILENO, "%u variants\n", tst_test->test_variants ? tst_test->test_variants : 1);
    running = getpid();
    return 0;
}

pid_t one_process_waitpid(const char *file, int line, void (*cleanup)(void), pid_t child,
                          int *status, int options)
{
    (void)file, (void)line, (void)cleanup, (void)options;
    *status = 0;
    return child;
}

/* Until it becomes the child, the process is the child's parent. */
pid_t one_process_getpid(void)
{
    return running ? getpid() : PARENT;
}

pid_t one_process_getppid(void)
{
    return PARENT;
}

/* A process of the test may end it. Nobody hears that the test goes on. */
int one_process_kill(pid_t process, int number)
{
    return running && process == running ? kill(process, number) : 0;
}

unsigned one_process_alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

int one_process_setpgid(const char *file, int line, pid_t process, pid_t group)
{
    (void)file, (void)line, (void)process, (void)group;
    return 0;
}

void one_process_oom_protection(pid_t process)
{
    (void)process;
}
