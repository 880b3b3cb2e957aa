/* Processes of jailed VMs that stand still, so that a long reply can be read where it lies.
 *
 * The process stops itself by SIGSTOP as soon as it has answered, and only this program continues
 * it. A process that was taken over may not stop, or may have threads that go on. proc(5) tells.
 * All threads that are known are looked at twice. If each had stopped both times, and the scheduler
 * let none run in between, there was a moment at which none ran: while one is looked at, another
 * could continue those before it. If there are no other threads, nothing of the process runs, and
 * nobody starts a thread. An honest process has its main thread, perhaps a watchdog, and perhaps a
 * thread that KVM made for itself.
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

#define PATH_BYTES 320

static void close_thread(const struct jail_thread *thread)
{
    if (thread->stat >= 0)
        close(thread->stat);
    if (thread->schedstat >= 0)
        close(thread->schedstat);
}

void udfvm_cell_forget_threads(struct cell *cell)
{
    while (cell->thread_count)
        close_thread(&cell->threads[--cell->thread_count]);
}

/* Of the thread whose folder this is. A thread that ended meanwhile is left out. */
static void watch_thread(struct cell *cell, int parent, const char *folder)
{
    char path[PATH_BYTES];
    struct jail_thread thread;
    snprintf(path, sizeof path, "%s/stat", folder);
    thread.stat = openat(parent, path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/schedstat", folder);
    thread.schedstat = openat(parent, path, O_RDONLY | O_CLOEXEC);
    if (thread.stat >= 0 && thread.schedstat >= 0)
        cell->threads[cell->thread_count++] = thread;
    else
        close_thread(&thread);
}

void udfvm_cell_watch_threads(struct cell *cell)
{
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "/proc/%d", (int)cell->pid);
    watch_thread(cell, AT_FDCWD, folder);
}

static void find_threads(struct cell *cell)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task", (int)cell->pid);
    udfvm_cell_forget_threads(cell);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) && cell->thread_count < MAX_JAIL_THREADS)
        if (entry->d_name[0] != '.')
            watch_thread(cell, dirfd(folder), entry->d_name);
    if (folder)
        closedir(folder);
}

static bool read_text(int file, char *text, size_t size)
{
    const ssize_t length = pread(file, text, size - 1, 0);
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

/* Linux reads the state first, and then counts the threads: proc_pid_stat(5). The name before them
 * may have anything in it. */
static bool has_stopped(const struct jail_thread *thread, unsigned *existing)
{
    char text[512], state;
    *existing = 0;
    if (!read_text(thread->stat, text, sizeof text))
        return false;
    const char *behind = strrchr(text, ')');
    return behind &&
           sscanf(behind, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u",
                  &state, existing) == 2 &&
           state == 'T';
}

/* How often the scheduler let it run: Documentation/scheduler/sched-stats.rst of Linux. */
static bool count_runs(const struct jail_thread *thread, unsigned long *runs)
{
    char text[128];
    return read_text(thread->schedstat, text, sizeof text) &&
           sscanf(text, "%*s %*s %lu", runs) == 1;
}

/* The count comes first: one that runs after it has been continued. `existing` is of the time when
 * the last had stopped; 0: that one has ended. */
static bool all_have_stopped(struct cell *cell, unsigned *existing)
{
    bool stopped = true;
    for (unsigned i = 0; i < cell->thread_count && stopped; i++) {
        struct jail_thread *thread = &cell->threads[i];
        *existing = 0;
        stopped = count_runs(thread, &thread->runs) && has_stopped(thread, existing);
    }
    return stopped;
}

/* One that is alone was looked at well enough. */
static bool none_ran_since(const struct cell *cell)
{
    unsigned existing;
    unsigned long runs;
    for (unsigned i = 0; i < cell->thread_count && cell->thread_count > 1; i++) {
        const struct jail_thread *thread = &cell->threads[i];
        if (!has_stopped(thread, &existing) || !count_runs(thread, &runs) || runs != thread->runs)
            return false;
    }
    return true;
}

static bool stands_still(struct cell *cell)
{
    unsigned existing = 0;
    const bool stopped = all_have_stopped(cell, &existing);
    if (existing != 0 && (!stopped || existing == cell->thread_count))
        return stopped && none_ran_since(cell);
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
