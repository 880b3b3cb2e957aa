/* The warden: it starts the processes of one program's jailed VMs, and is their parent. It reads
 * nothing that a guest wrote. See core/jail/start.c. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail.h"
#include "jail/descriptors.h"

static unsigned walls; /* that stand around all of them */

static bool write_file(const char *path, const char *text)
{
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    const ssize_t length = (ssize_t)strlen(text);
    const bool written = file >= 0 && write(file, text, (size_t)length) == length;
    if (file >= 0)
        close(file);
    return written;
}

/* One network without an interface for all, as it takes milliseconds to make. Root may make it;
 * others may as the root of a user namespace, if the system lets them: user_namespaces(7). */
static void leave_network(void)
{
    const int away = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    const unsigned user = geteuid(), group = getegid();
    char map[64];
    if (unshare(away) == 0) {
        walls |= UDFVM_WALL_NETWORK;
        return;
    }
    if (unshare(CLONE_NEWUSER) < 0)
        return;
    snprintf(map, sizeof map, "0 %u 1\n", user);
    write_file("/proc/self/uid_map", map);
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1\n", group);
    write_file("/proc/self/gid_map", map);
    if (unshare(away) == 0)
        walls |= UDFVM_WALL_NETWORK;
}

/* The child, until it is another program: its descriptors are those of the message, and no others.
 */
static int become_jail(const char *path, const int *files, size_t count, pid_t parent)
{
    char mask[16], name[] = "udfvm-jail", role[] = "jail";
    unsigned standing = walls;
    if (count == 3) { /* cgroups(7): 0 is the process that writes */
        const int processes = openat(files[2], "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (processes < 0 || write(processes, "0", 1) != 1)
            return errno;
        standing |= UDFVM_WALL_CGROUP;
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        return ESRCH;
    /* Both numbers may be in use for the other. */
    const int socket = fcntl(files[0], F_DUPFD, JAIL_CONTROL + 1),
              control = fcntl(files[1], F_DUPFD, JAIL_CONTROL + 1);
    if (socket < 0 || control < 0 || dup2(socket, JAIL_SOCKET) < 0 ||
        dup2(control, JAIL_CONTROL) < 0 || syscall(SYS_close_range, JAIL_CONTROL + 1, ~0u, 0) < 0)
        return errno;
    signal(SIGCHLD, SIG_DFL);
    snprintf(mask, sizeof mask, "%u", standing);
    char *arguments[] = { name, role, mask, NULL }, *environment[] = { NULL };
    execve(path, arguments, environment);
    return errno;
}

/* The process, with a descriptor of it. One that goes wrong before it is another program ends, and
 * the program waits for its first answer in vain. */
static struct warden_answer start(const char *path, const int *files, size_t count, int *process)
{
    struct warden_answer answer = { .error = EINVAL };
    const pid_t parent = getpid();
    if (count != 2 && count != 3)
        return answer;
    answer.pid = fork();
    if (answer.pid == 0)
        _exit(become_jail(path, files, count, parent));
    answer.error = answer.pid < 0 ? errno : 0;
    if (answer.error == 0) {
        *process = (int)syscall(SYS_pidfd_open, answer.pid, 0);
        answer.error = *process < 0 ? errno : 0;
    }
    return answer;
}

int run_warden(const char *path)
{
    if (fork() != 0)
        _exit(0); /* the program does not wait for the other */
    syscall(SYS_close_range, JAIL_SOCKET + 1, ~0u, 0);
    signal(SIGCHLD, SIG_IGN); /* those that end leave nothing behind: wait(2) */
    fcntl(JAIL_SOCKET, F_SETFD, FD_CLOEXEC);
    leave_network();
    for (;;) {
        char request;
        int files[MAX_JAIL_FILES], process = -1;
        size_t count = MAX_JAIL_FILES;
        const long got = udfvm_receive_files(JAIL_SOCKET, &request, 1, files, &count);
        if (got <= 0)
            return 0; /* the program has ended */
        struct warden_answer answer = start(path, files, count, &process);
        udfvm_send_files(JAIL_SOCKET, &answer, sizeof answer, &process, process >= 0);
        for (size_t i = 0; i < count; i++)
            close(files[i]);
        if (process >= 0)
            close(process);
    }
}
