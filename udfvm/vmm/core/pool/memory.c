/* The VMs of a pool, idle or in use, and the memory that is theirs alone. Only whoever asks for it
 * pays: where VMs lie is copied with the lock held, and looked at without. One that is closed
 * meanwhile is not there any more, and what is mapped in its place may count. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "base/process.h"
#include "pool/pool.h"

/* Linux, Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_SHARED  (1ull << 61) /* of a file, or of memory that is shared */
#define ENTRY_ALONE   (1ull << 56) /* mapped here alone: neither copied on writing, nor no page */
#define ENTRIES       4096u

#define STATUS_BYTES 4096 /* of /proc/PID/status, whose first lines matter */

/* Where the memory of a VM is. */
struct place {
    pid_t process; /* all of it in this process; 0: in the pieces of this one */
    struct piece {
        const uint8_t *from;
        uint64_t bytes;
    } pieces[3];
};

void udfvm_pool_add_vm(struct udfvm_pool *pool, struct udfvm_vm *vm)
{
    pthread_mutex_lock(&pool->lock);
    vm->following = pool->vms;
    vm->link = &pool->vms;
    if (pool->vms)
        pool->vms->link = &vm->following;
    pool->vms = vm;
    vm->listed = true;
    pthread_mutex_unlock(&pool->lock);
    udfvm_pool_tell(pool, vm, UDFVM_VM_STARTED);
}

void udfvm_pool_close_vm(struct udfvm_pool *pool, struct udfvm_vm *vm, enum udfvm_vm_event why)
{
    udfvm_pool_tell(pool, vm, why);
    if (vm->listed && pool->generation == udfvm_fork_generation()) {
        pthread_mutex_lock(&pool->lock);
        *vm->link = vm->following;
        if (vm->following)
            vm->following->link = vm->link;
        pthread_mutex_unlock(&pool->lock);
    }
    udfvm_vm_close(vm);
}

static struct place place_of(const struct udfvm_vm *vm)
{
    const struct machine *machine = &vm->machine;
    return (struct place){
        .process = vm->remote && vm->remote->process ? vm->remote->process(vm) : 0,
        .pieces = { { machine->memory, machine->memory_bytes },
                    { machine->output, UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes },
                    { machine->input, machine->input_bytes } },
    };
}

/* Private pages, whether they are in memory or swapped out. */
static int add_piece(int pagemap, const struct piece *piece, uint64_t *bytes,
                     struct udfvm_error *error)
{
    uint64_t entries[ENTRIES];
    const uint64_t first = (uint64_t)piece->from / PAGE, end = first + piece->bytes / PAGE;
    for (uint64_t page = first; piece->from && page < end;) {
        const uint64_t left = end - page, wanted = left < ENTRIES ? left : ENTRIES;
        const ssize_t got = pread(pagemap, entries, wanted * sizeof *entries,
                                  (off_t)(page * sizeof *entries));
        if (got < (ssize_t)sizeof *entries)
            return udfvm_fail_errno(error, "reading /proc/self/pagemap");
        for (size_t i = 0; i < (size_t)got / sizeof *entries; i++, page++) {
            const uint64_t entry = entries[i];
            const bool alone = (entry & ENTRY_PRESENT) && (entry & ENTRY_ALONE) &&
                               !(entry & ENTRY_SHARED);
            *bytes += alone || (entry & ENTRY_SWAPPED) ? PAGE : 0;
        }
    }
    return UDFVM_OK;
}

/* The number of KiB in a line of /proc/PID/status; 0: there is none. */
static uint64_t kib_of(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

/* What a process has beyond pages of files. One that ended has nothing. */
static void add_process(pid_t process, uint64_t *bytes)
{
    char path[32], status[STATUS_BYTES];
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    const ssize_t length = pread(file, status, sizeof status - 1, 0);
    close(file);
    status[length > 0 ? length : 0] = 0;
    const uint64_t kib = kib_of(status, "\nRssAnon:") + kib_of(status, "\nRssShmem:") +
                         kib_of(status, "\nVmSwap:");
    *bytes += kib << 10;
}

static unsigned copy_places(struct udfvm_pool *pool, struct place *places)
{
    unsigned count = 0;
    pthread_mutex_lock(&pool->lock);
    for (const struct udfvm_vm *vm = pool->vms; vm && count < pool->limit; vm = vm->following)
        places[count++] = place_of(vm);
    pthread_mutex_unlock(&pool->lock);
    return count;
}

static int add_places(const struct place *places, unsigned count, uint64_t *bytes,
                      struct udfvm_error *error)
{
    const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return udfvm_fail_errno(error, "opening /proc/self/pagemap");
    int code = UDFVM_OK;
    for (unsigned i = 0; i < count && code == UDFVM_OK; i++) {
        if (places[i].process)
            add_process(places[i].process, bytes);
        for (unsigned j = 0; j < 3 && !places[i].process && code == UDFVM_OK; j++)
            code = add_piece(pagemap, &places[i].pieces[j], bytes, error);
    }
    close(pagemap);
    return code;
}

int udfvm_pool_memory(udfvm_pool *pool, uint64_t *bytes, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    *bytes = 0;
    if (pool->generation != udfvm_fork_generation())
        return UDFVM_OK; /* none of its VMs is here */
    struct place *places = calloc(pool->limit, sizeof *places);
    if (!places)
        return udfvm_fail_errno(error, "allocating room for the places of VMs");
    const unsigned count = copy_places(pool, places);
    const int code = add_places(places, count, bytes, error);
    free(places);
    return code;
}
