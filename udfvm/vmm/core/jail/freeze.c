/* Processes of jailed VMs that stand still, so that a long reply can be read where it lies.
 *
 * The process stops itself by SIGSTOP as soon as it has answered, and only this program continues
 * it. A process that was taken over may not stop, or may have threads that go on. proc(5) tells: if
 * all threads that are known have stopped, and there are no others, nothing of it runs, and nobody
 * starts a thread. An honest process has one thread, and perhaps one that KVM made for itself.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "jail/cell.h"

#define PATH_BYTES 64

void udfvm_cell_watch_threads(struct cell *cell)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)cell->pid);
    cell->threads[0] = open(path, O_RDONLY | O_CLOEXEC);
    cell->thread_count = cell->threads[0] >= 0;
}

void udfvm_cell_forget_threads(struct cell *cell)
{
    while (cell->thread_count)
        close(cell->threads[--cell->thread_count]);
}

static void find_threads(struct cell *cell)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task", (int)cell->pid);
    udfvm_cell_forget_threads(cell);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) && cell->thread_count < MAX_JAIL_THREADS) {
        char name[sizeof entry->d_name + sizeof "/stat"];
        snprintf(name, sizeof name, "%s/stat", entry->d_name);
        const int thread = entry->d_name[0] == '.'
                               ? -1
                               : openat(dirfd(folder), name, O_RDONLY | O_CLOEXEC);
        if (thread >= 0)
            cell->threads[cell->thread_count++] = thread;
    }
    if (folder)
        closedir(folder);
}

/* Linux reads the state first, and then counts the threads: proc_pid_stat(5). The name before them
 * may have anything in it. */
static bool has_stopped(int thread, unsigned *existing)
{
    char text[512], state;
    const ssize_t length = pread(thread, text, sizeof text - 1, 0);
    *existing = 0;
    if (length <= 0)
        return false;
    text[length] = 0;
    const char *behind = strrchr(text, ')');
    return behind &&
           sscanf(behind, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u",
                  &state, existing) == 2 &&
           state == 'T';
}

/* `existing` is of the time when the last had stopped; 0: that one has ended. */
static bool stands_still(struct cell *cell)
{
    unsigned existing = 0;
    bool stopped = true;
    for (unsigned i = 0; i < cell->thread_count && stopped; i++)
        stopped = has_stopped(cell->threads[i], &existing);
    if (existing != 0 && (!stopped || existing == cell->thread_count))
        return stopped;
    find_threads(cell);
    return false;
}

int udfvm_cell_freeze(struct cell *cell, struct udfvm_error *error)
{
    const uint64_t end_ns = udfvm_monotonic_ns() + JAIL_GRACE_NS;
    while (!(cell->frozen = stands_still(cell))) {
        if (udfvm_monotonic_ns() >= end_ns || udfvm_cell_has_ended(cell))
            return udfvm_cell_break(cell, "did not stand still", error);
        sched_yield();
    }
    return UDFVM_OK;
}

void udfvm_cell_thaw(struct cell *cell)
{
    cell->frozen = false;
    udfvm_cell_signal(cell, SIGCONT);
}
