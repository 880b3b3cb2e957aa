/* Starting processes for jailed VMs.
 *
 * The program has one warden, which starts them and is their parent: a child of the program itself
 * would be among those that the program waits for (wait(2)), would send it SIGCHLD, and would die
 * with the thread that happened to start it (prctl(2), PR_SET_PDEATHSIG). The warden ends when the
 * program's end of its socket is closed, which is at the latest when that dies, and they end with
 * it. It is no child of the program either: the one that is started forks it and ends at once. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "jail/cell.h"
#include "jail/descriptors.h"
#include "jail/jail.h"

#define PROGRAM "udfvm-jail" /* beside libudfvm.so */

static struct {
    pthread_mutex_t lock;
    int socket; /* -1: there is no warden */
} warden = { .lock = PTHREAD_MUTEX_INITIALIZER, .socket = -1 };

static void forget(void)
{
    if (warden.socket >= 0)
        close(warden.socket);
    warden.socket = -1;
}

void udfvm_jail_forget(void)
{
    warden.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    forget();
    udfvm_borrowing_forget();
    udfvm_parting_forget();
}

static int find_program(char path[4096], struct udfvm_error *error)
{
    Dl_info here;
    if (!dladdr(&warden, &here) || !here.dli_fname)
        return udfvm_fail(error, UDFVM_E_JAIL, "the folder of libudfvm.so is not known");
    const char *slash = strrchr(here.dli_fname, '/');
    const int folder = slash ? (int)(slash - here.dli_fname) : 0;
    if (snprintf(path, 4096, "%.*s%s" PROGRAM, folder, here.dli_fname, slash ? "/" : "./") >= 4096)
        return udfvm_fail(error, UDFVM_E_JAIL, "the path of libudfvm.so is too long");
    return UDFVM_OK;
}

/* What the child has open: the socket, and nothing of the program's. Returns the error, as all of
 * these functions do: what is left out of the list would be the program's in the child. */
static int choose_files(posix_spawn_file_actions_t *files, int socket)
{
    int failed = posix_spawn_file_actions_init(files);
    if (failed)
        return failed;
    for (int i = 0; i < JAIL_SOCKET && !failed; i++)
        failed = posix_spawn_file_actions_addopen(files, i, "/dev/null", O_RDWR, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(files, socket, JAIL_SOCKET);
    if (failed)
        posix_spawn_file_actions_destroy(files);
    return failed;
}

/* Nothing of the program's comes along: no descriptor, no signal settings, no environment, not its
 * terminal's process group. */
static int spawn(char *path, int socket)
{
    static char name[] = PROGRAM, role[] = "warden";
    char *arguments[] = { name, role, path, NULL }, *environment[] = { NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    pid_t child;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = choose_files(&files, socket);
    if (failed)
        return failed;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    failed = posix_spawn(&child, path, &files, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (failed == 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    return failed;
}

/* With the lock. */
static int start_warden(struct udfvm_error *error)
{
    char path[4096];
    int ends[2];
    if (warden.socket >= 0)
        return UDFVM_OK;
    UDFVM_TRY(find_program(path, error));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return udfvm_fail_errno(error, "making a socket");
    /* Above the numbers that the child's descriptors get, so that none of them is in the way. */
    const int theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, JAIL_CONTROL + 1);
    close(ends[1]);
    errno = theirs < 0 ? errno : spawn(path, theirs);
    const int failed = errno;
    if (theirs >= 0)
        close(theirs);
    if (failed) {
        close(ends[0]);
        udfvm_fail_errno(error, "starting %s", path);
        if (error)
            error->code = UDFVM_E_JAIL;
        return UDFVM_E_JAIL;
    }
    warden.socket = ends[0];
    return UDFVM_OK;
}

/* With the lock. False: the warden is gone. */
static bool ask(const int *files, size_t count, struct warden_answer *answer, int *process)
{
    size_t received = 1;
    if (!udfvm_send_files(warden.socket, &(char){ 0 }, 1, files, count) ||
        udfvm_receive_files(warden.socket, answer, sizeof *answer, process, &received) !=
            (long)sizeof *answer) {
        forget();
        return false;
    }
    return answer->error != 0 || received == 1;
}

int udfvm_warden_start(int socket, int control, const char *cgroup, pid_t *pid, int *process,
                       struct udfvm_error *error)
{
    struct warden_answer answer = { .error = EPIPE };
    int files[MAX_JAIL_FILES] = { socket, control, -1 };
    if (cgroup && (files[2] = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        udfvm_fail_errno(error, "opening the cgroup %s", cgroup);
        return UDFVM_E_SYSTEM;
    }
    pthread_mutex_lock(&warden.lock);
    int code = UDFVM_OK;
    for (int turn = 0; turn < 2 && code == UDFVM_OK; turn++) { /* another, where one was killed */
        code = start_warden(error);
        if (code == UDFVM_OK && ask(files, cgroup ? 3 : 2, &answer, process))
            break;
    }
    pthread_mutex_unlock(&warden.lock);
    if (cgroup)
        close(files[2]);
    if (code == UDFVM_OK && answer.error != 0) {
        errno = answer.error;
        udfvm_fail_errno(error, "starting a process for a micro-VM");
        code = UDFVM_E_JAIL;
        if (error)
            error->code = code;
    }
    *pid = answer.pid;
    return code;
}
