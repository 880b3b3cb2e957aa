/* Data: files that guests read where the host maps them.
 *
 * A file is mapped as it is, so it takes memory once: in the page cache, for all VMs and all
 * processes. It is opened for reading, mapped for reading, lies in a read-only memory slot, and has
 * read-only entries in page tables that are the host's: each of these alone keeps a guest from
 * writing to it.
 *
 * Others may write to the file, or cut it. The bytes are the guest's to read, so what they are
 * harms nobody but the call. Where there is nothing any more, KVM fails to enter the guest
 * (EFAULT), which fails the call. This process would die of such a read (SIGBUS): it therefore
 * reads none of it. */
#include "machine/data.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "machine/machine.h"

#define DATA_BYTES (UDFVM_DATA_END - UDFVM_DATA_BASE)
#define DATA_BITS  39

_Static_assert(UDFVM_DATA_END == 1ull << DATA_BITS, "data end where such addresses do");

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + HUGE_PAGE - 1) & -HUGE_PAGE;
}

static bool is_name(const char *name)
{
    const size_t length = strnlen(name, UDFVM_MAX_DATA_NAME + 1);
    return length > 0 && length <= UDFVM_MAX_DATA_NAME && !memchr(name, '/', length) &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Takes a descriptor of its own of a file. */
static int take_file(struct udfvm_data *data, const struct udfvm_data_source *source,
                     struct udfvm_error *error)
{
    struct data_file *file = &data->files[data->count];
    struct stat status;
    if (!is_name(source->name))
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "%.128s is no name of a data file",
                          source->name);
    if (fstat(source->fd, &status) < 0)
        return udfvm_fail_errno(error, "looking at data file %s", source->name);
    if (!S_ISREG(status.st_mode) || status.st_size <= 0)
        return udfvm_fail(error, UDFVM_E_DATA, "data file '%s' is %s", source->name,
                          S_ISREG(status.st_mode) ? "empty" : "no regular file");
    if ((uint64_t)status.st_size > DATA_BYTES - data->bytes)
        return udfvm_fail(error, UDFVM_E_DATA,
                          "the data files of a function have more than %s together",
                          udfvm_format_size(DATA_BYTES - HUGE_PAGE).text);
    *file = (struct data_file){ .address = UDFVM_DATA_BASE + data->bytes,
                                .size = (uint64_t)status.st_size,
                                .modified = status.st_mtim };
    memcpy(file->name, source->name, strlen(source->name));
    file->fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);
    if (file->fd < 0)
        return udfvm_fail_errno(error, "keeping data file %s open", source->name);
    data->count++;
    data->bytes += round_up(file->size);
    return UDFVM_OK;
}

/* ---- Mapping ---- */

static void *reserve(uint64_t bytes)
{
    uint8_t *mapping = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    const uint64_t head = (HUGE_PAGE - (uintptr_t)mapping % HUGE_PAGE) % HUGE_PAGE;
    if (head)
        munmap(mapping, head);
    munmap(mapping + head + bytes, HUGE_PAGE - head);
    return mapping + head;
}

static void list(const struct udfvm_data *data, struct udfvm_data_directory *directory)
{
    directory->count = data->count;
    for (size_t i = 0; i < data->count; i++) {
        const struct data_file *file = &data->files[i];
        struct udfvm_data_file *entry = &directory->files[i];
        entry->address = file->address;
        entry->size = file->size;
        entry->mtime_seconds = file->modified.tv_sec;
        entry->mtime_nanoseconds = (uint64_t)file->modified.tv_nsec;
        memcpy(entry->name, file->name, sizeof entry->name);
    }
}

/* What is between the files, and behind the directory, are zeros that take no memory. */
static int map(struct udfvm_data *data, struct udfvm_error *error)
{
    uint8_t *mapping = reserve(data->bytes);
    if (!mapping)
        return udfvm_fail_errno(error, "mapping data files");
    data->mapped = mapping;
    list(data, (struct udfvm_data_directory *)mapping);
    if (mprotect(mapping, data->bytes, PROT_READ) < 0)
        return udfvm_fail_errno(error, "mapping data files");
    for (size_t i = 0; i < data->count; i++) {
        const struct data_file *file = &data->files[i];
        uint8_t *place = mapping + (file->address - UDFVM_DATA_BASE);
        if (mmap(place, file->size, PROT_READ, MAP_SHARED | MAP_FIXED, file->fd, 0) == MAP_FAILED)
            return udfvm_fail_errno(error, "mapping data file %s", file->name);
        madvise(place, file->size, MADV_HUGEPAGE); /* where the file system has huge pages */
    }
    return UDFVM_OK;
}

/* ---- Life ---- */

int udfvm_data_check_processor(unsigned physical_bits, struct udfvm_error *error)
{
    if (physical_bits >= DATA_BITS)
        return UDFVM_OK;
    return udfvm_fail(error, UDFVM_E_DATA,
                      "data files need a processor whose physical addresses have %d bits or more,"
                      " and those of this one have %u",
                      DATA_BITS, physical_bits);
}

/* As KVM tells guests, too. */
static unsigned physical_bits(void)
{
    unsigned a = 0, b, c, d;
    return __get_cpuid(0x80000008, &a, &b, &c, &d) ? a & 0xff : 36;
}

udfvm_data *udfvm_data_open(const struct udfvm_data_source *sources, size_t count,
                            struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (count == 0 || count > UDFVM_MAX_DATA_FILES) {
        udfvm_fail(error, UDFVM_E_ARGUMENT, "a function has 1 to %u data files",
                   UDFVM_MAX_DATA_FILES);
        return NULL;
    }
    struct udfvm_data *data = calloc(1, sizeof *data + count * sizeof data->files[0]);
    if (!data) {
        udfvm_fail_errno(error, "allocating data");
        return NULL;
    }
    data->references = 1;
    data->bytes = HUGE_PAGE; /* of the directory */
    int code = udfvm_data_check_processor(physical_bits(), error);
    for (size_t i = 0; i < count && code == UDFVM_OK; i++)
        code = take_file(data, &sources[i], error);
    if (code == UDFVM_OK)
        code = map(data, error);
    if (code == UDFVM_OK)
        return data;
    udfvm_data_close(data);
    return NULL;
}

udfvm_data *udfvm_data_retain(udfvm_data *data)
{
    atomic_fetch_add(&data->references, 1);
    return data;
}

void udfvm_data_close(udfvm_data *data)
{
    if (!data || atomic_fetch_sub(&data->references, 1) != 1)
        return;
    if (data->mapped)
        udfvm_machine_unmap(data->mapped, data->bytes);
    for (size_t i = 0; i < data->count; i++)
        close(data->files[i].fd);
    free(data);
}

/* ---- Guests ---- */

int udfvm_machine_give_data(struct machine *machine, struct udfvm_data *data,
                            struct udfvm_error *error)
{
    const struct memory_slot slot = { .number = SLOT_DATA,
                                      .read_only = true,
                                      .physical = UDFVM_DATA_BASE,
                                      .bytes = data->bytes,
                                      .host = data->mapped };
    UDFVM_TRY(udfvm_hypervisor_add_slot(machine->hypervisor, &slot, error));
    machine->data = udfvm_data_retain(data);
    udfvm_system_area_map_data(machine);
    udfvm_page_tables_keep(machine);
    return UDFVM_OK;
}

/* ---- Changes by others ---- */

static int fail_changed(const struct data_file *file, const struct stat *status,
                        struct udfvm_error *error)
{
    if ((uint64_t)status->st_size == file->size)
        return udfvm_fail(error, UDFVM_E_DATA,
                          "data file '%s' was written since the function opened it", file->name);
    return udfvm_fail(error, UDFVM_E_DATA,
                      "data file '%s' had %s when the function opened it, and has %s now",
                      file->name, udfvm_format_size(file->size).text,
                      udfvm_format_size((uint64_t)status->st_size).text);
}

int udfvm_data_check(const udfvm_data *data, struct udfvm_error *error)
{
    for (size_t i = 0; i < data->count; i++) {
        const struct data_file *file = &data->files[i];
        struct stat status;
        if (fstat(file->fd, &status) < 0)
            return udfvm_fail_errno(error, "looking at data file %s", file->name);
        if ((uint64_t)status.st_size != file->size ||
            status.st_mtim.tv_sec != file->modified.tv_sec ||
            status.st_mtim.tv_nsec != file->modified.tv_nsec)
            return fail_changed(file, &status, error);
    }
    return UDFVM_OK;
}
