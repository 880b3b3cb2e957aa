/* udfvm-jail: the process that a jailed micro-VM runs in, and the warden that starts such
 * processes. Programs that use libudfvm start it; see core/jail/start.c. */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "call/watchdog.h"
#include "hypervisor.h"
#include "jail.h"
#include "base/worker.h"

static struct jail jail;

/* The program asks to end the call: see udfvm_set_interrupt_hook. */
static int is_stopped(void)
{
    return atomic_load(&jail.control->stop) != 0;
}

static void on_signal(int number)
{
    (void)number; /* to interrupt the guest is all */
}

static void handle_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
    sigaction(UDFVM_KICK_SIGNAL, &action, NULL);
    sigaction(SIGURG, &action, NULL);
}

static bool map_control(void)
{
    void *mapped = mmap(NULL, JAIL_DATA_OFFSET + MAX_JAIL_DATA, PROT_READ | PROT_WRITE, MAP_SHARED,
                        JAIL_CONTROL, 0);
    if (mapped == MAP_FAILED)
        return false;
    jail.control = mapped;
    jail.data = (uint8_t *)mapped + JAIL_DATA_OFFSET;
    return jail.control->version == JAIL_VERSION;
}

static int prepare(struct jail_answer *answer, pid_t parent, struct udfvm_error *error)
{
    udfvm_worker_forbid(); /* the program has the other processor meanwhile */
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1); /* another would be looked for with the number of processors */
#endif
    UDFVM_TRY(udfvm_hypervisor_keep_device(error));
    UDFVM_TRY(build_walls(jail.control, parent, &answer->walls, error));
    return install_filter(error);
}

/* Nothing of a guest is read before the walls stand. */
static int run_jail(unsigned standing, pid_t parent)
{
    struct udfvm_error error = { .code = UDFVM_OK };
    struct jail_answer answer = { .kind = JAIL_READY, .walls = standing };
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* nobody attaches to it: ptrace(2) */
    if (!map_control())
        return 1;
    handle_signals();
    begin_turns(&jail);
    bind_forwards(&jail);
    udfvm_set_interrupt_hook(is_stopped);
    answer.code = prepare(&answer, parent, &error);
    answer.os_errno = error.os_errno;
    memcpy(answer.message, error.message, sizeof answer.message);
    answer.walls |= UDFVM_WALL_FILTER;
    jail.seen = 1;
    give_answer(&jail, &answer);
    if (answer.code != UDFVM_OK)
        return 1;
    serve(&jail);
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "warden") == 0)
        return run_warden(arguments[2]);
    if (count == 3 && strcmp(arguments[1], "jail") == 0)
        return run_jail((unsigned)strtoul(arguments[2], NULL, 10), getppid());
    return 2;
}
