/* Which call fails: that of a place in udfvm's libraries, after so many others of that place. */
#ifndef CHOSEN_CALL_H
#define CHOSEN_CALL_H

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT      __attribute__((visibility("default")))
#define MAX_MODULES 16
#define MAX_PLACES  65536

enum action { COUNT, FAIL, FAIL_ON, SHORT, KILL }; /* FAIL_ON: and all of its name from then on */

struct place {
    const char *name;
    uint64_t caller, detail; /* an address within its library; a request of ioctl, or a path */
};

static struct {
    uintptr_t from, to;
} modules[MAX_MODULES];
static size_t module_count;
static char folder[PATH_MAX];
static size_t folder_length;
static struct place places[MAX_PLACES];
static atomic_bool armed, done;
static atomic_long counted;
static atomic_int action;
static struct place chosen;

/* ---- What counts ---- */

static int add_module(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!strstr(info->dlpi_name, "/udfvm/") || module_count == MAX_MODULES)
        return 0;
    uintptr_t end = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t last = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
                               info->dlpi_phdr[i].p_memsz;
        end = info->dlpi_phdr[i].p_type == PT_LOAD && last > end ? last : end;
    }
    modules[module_count].from = info->dlpi_addr;
    modules[module_count++].to = end;
    return 0;
}

static uint64_t place_of(const void *caller)
{
    for (size_t i = 0; i < module_count; i++)
        if ((uintptr_t)caller >= modules[i].from && (uintptr_t)caller < modules[i].to)
            return (i + 1) << 48 | ((uintptr_t)caller - modules[i].from);
    return 0;
}

static bool in_folder(const char *path)
{
    return path && strncmp(path, folder, folder_length) == 0;
}

static bool is_of_folder(int fd)
{
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const long length = syscall(SYS_readlink, link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return in_folder(path);
}

/* Paths of one kind are one place: only what is behind the last dot tells them apart. */
static uint64_t kind_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    uint64_t hash = 5381;
    for (; dot && *dot; dot++)
        hash = hash * 33 + (uint8_t)*dot;
    return hash;
}

/* True if this call is to fail. */
static bool is_chosen(const char *name, uint64_t caller, uint64_t detail)
{
    if (atomic_load(&done))
        return atomic_load(&action) == FAIL_ON && strcmp(name, chosen.name) == 0;
    if (atomic_load(&action) == COUNT) {
        const long number = atomic_fetch_add(&counted, 1);
        if (number < MAX_PLACES)
            places[number] = (struct place){ name, caller, detail };
        return false;
    }
    if (caller != chosen.caller || detail != chosen.detail || strcmp(name, chosen.name) != 0 ||
        atomic_fetch_sub(&counted, 1) != 0)
        return false;
    atomic_store(&done, true);
    if (atomic_load(&action) == KILL)
        kill(getpid(), SIGKILL);
    return true;
}

static bool fails(const char *name, const void *caller, uint64_t detail, bool of_folder, int code)
{
    if (!atomic_load(&armed))
        return false;
    const uint64_t place = place_of(caller);
    if ((!place && !of_folder) || !is_chosen(name, place, detail))
        return false;
    errno = code;
    return true;
}

/* ---- For the program ---- */

/* Once udfvm's libraries are loaded, and before the first mapping that counts. */
EXPORT void faults_find_libraries(void)
{
    module_count = 0;
    dl_iterate_phdr(add_module, NULL);
}

/* `before`: calls of the place that succeed before the one that fails. */
EXPORT void faults_arm(const char *of, int what, const char *name, uint64_t caller, uint64_t detail,
                       long before)
{
    faults_find_libraries();
    snprintf(folder, sizeof folder, "%s", of);
    folder_length = strlen(folder);
    chosen = (struct place){ name, caller, detail };
    action = what;
    done = false;
    counted = what == COUNT ? 0 : before;
    armed = true;
}

/* The number of calls that were counted; otherwise whether one failed. */
EXPORT long faults_disarm(void)
{
    armed = false;
    return action == COUNT ? counted : done;
}

EXPORT const char *faults_name(long number)
{
    return places[number].name;
}

EXPORT uint64_t faults_caller(long number)
{
    return places[number].caller;
}

EXPORT uint64_t faults_detail(long number)
{
    return places[number].detail;
}

#endif
