/* /dev has the few devices that every program expects. */
#include "host/random.h"
#include "lib/string.h"
#include "vfs/pty.h"

#define MEMORY_MAJOR   1u
#define TERMINAL_MAJOR 5u

static int64_t read_nothing(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    return 0;
}

static int64_t read_zeros(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    memset(buffer, 0, length);
    return (int64_t)length;
}

static int64_t read_random(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    random_bytes(buffer, length);
    return (int64_t)length;
}

static int64_t write_nowhere(struct file *file, uint64_t offset, const void *buffer,
                             uint64_t length)
{
    return (int64_t)length;
}

static int64_t write_full(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return length ? -ENOSPC : 0;
}

static int64_t change_nothing(struct file *file, const struct attributes *change)
{
    return 0;
}

static void device_file_status(struct file *file, struct status *status);
static int64_t device_list(struct file *file, uint64_t position, emit_function *emit, void *sink);

#define DEVICE_OPERATIONS .change = change_nothing, .status = device_file_status, .seekable = true
static const struct file_operations null_operations = { .read = read_nothing,
                                                        .write = write_nowhere,
                                                        DEVICE_OPERATIONS };
static const struct file_operations zero_operations = { .read = read_zeros,
                                                        .write = write_nowhere,
                                                        .mappable = true,
                                                        DEVICE_OPERATIONS };
static const struct file_operations full_operations = { .read = read_zeros,
                                                        .write = write_full,
                                                        DEVICE_OPERATIONS };
static const struct file_operations random_operations = { .read = read_random,
                                                          .write = write_nowhere,
                                                          DEVICE_OPERATIONS };
static const struct file_operations directory_operations = { .list = device_list,
                                                             .status = device_file_status,
                                                             .seekable = true };
static const struct file_operations terminals_operations = { .list = pty_list,
                                                             .status = device_file_status,
                                                             .seekable = true };
/* They are opened by pty.c; without reading and writing, with O_PATH, like this. */
static const struct file_operations multiplexer_operations = { .status = device_file_status };
static const struct file_operations controlling_operations = { .status = device_file_status };

struct device {
    const char *name;
    const struct file_operations *operations;
    const char *target;
    uint8_t minor, type;
};

/* Minor numbers: linux/Documentation/admin-guide/devices.txt. */
static const struct device devices[] = {
    { "", &directory_operations, NULL, 0, TYPE_DIRECTORY },
    { "null", &null_operations, NULL, 3, TYPE_CHARACTER },
    { "zero", &zero_operations, NULL, 5, TYPE_CHARACTER },
    { "full", &full_operations, NULL, 7, TYPE_CHARACTER },
    { "random", &random_operations, NULL, 8, TYPE_CHARACTER },
    { "urandom", &random_operations, NULL, 9, TYPE_CHARACTER },
    { "ptmx", &multiplexer_operations, NULL, 2, TYPE_CHARACTER },
    { "tty", &controlling_operations, NULL, 0, TYPE_CHARACTER },
    { "pts", &terminals_operations, NULL, 0, TYPE_DIRECTORY },
    { "fd", NULL, "/proc/self/fd", 0, TYPE_LINK },
    { "stdin", NULL, "/proc/self/fd/0", 0, TYPE_LINK },
    { "stdout", NULL, "/proc/self/fd/1", 0, TYPE_LINK },
    { "stderr", NULL, "/proc/self/fd/2", 0, TYPE_LINK },
    { "shm", NULL, NULL, 0,
      TYPE_DIRECTORY }, /* a memory file system; it is here only for the listing */
};
#define DEVICES (sizeof devices / sizeof *devices)

static const struct device *find(const char *path)
{
    const char *rest;
    if (!path_below(path, "/dev", &rest))
        return NULL;
    for (size_t i = 0; i < DEVICES; i++)
        if (strcmp(devices[i].name, *rest ? rest + 1 : rest) == 0)
            return &devices[i];
    return NULL;
}

static bool is_terminal(const struct device *device)
{
    return device->operations == &multiplexer_operations ||
           device->operations == &controlling_operations;
}

static void status_of(const struct device *device, struct status *status)
{
    const uint32_t mode = device->type == TYPE_LINK        ? S_IFLNK | 0777
                          : device->type == TYPE_DIRECTORY ? S_IFDIR | 0755
                                                           : S_IFCHR | 0666;
    *status = (struct status){
        .device = DEVICE_DEVICES,
        .inode = (uint64_t)(device - devices) + 1,
        .mode = mode,
        .links = device->type == TYPE_DIRECTORY ? 2 : 1,
        .special = device->type == TYPE_CHARACTER
                       ? (is_terminal(device) ? TERMINAL_MAJOR : MEMORY_MAJOR) << 8 | device->minor
                       : 0,
        .size = device->target ? strlen(device->target) : 0,
    };
}

static void device_file_status(struct file *file, struct status *status)
{
    status_of(file->object, status);
}

static int64_t device_list(struct file *file, uint64_t position, emit_function *emit, void *sink)
{
    for (uint64_t i = maximum(position, 2) - 1; i < DEVICES;
         i++) /* positions 0 and 1 are "." and ".." */
        if (!emit(sink, &(struct directory_item){ devices[i].name, strlen(devices[i].name), i + 1,
                                                  i + 2, devices[i].type }))
            break;
    return 0;
}

static int64_t check_open(const struct device *device, int flags)
{
    if (!device)
        return flags & O_CREAT ? -EROFS : -ENOENT;
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (!device->operations)
        return -ELOOP;
    if (device->type != TYPE_DIRECTORY)
        return flags & O_DIRECTORY ? -ENOTDIR : 0;
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) ? -EISDIR : 0;
}

struct file *device_open(const char *path, int flags, int64_t *error)
{
    const struct device *device = find(path);
    const char *rest;
    if (!device && path_below(path, "/dev/pts", &rest))
        return pty_open_slave(path, flags, error);
    *error = check_open(device, flags);
    if (*error)
        return NULL;
    if (is_terminal(device) && !(flags & O_PATH))
        return device->operations == &multiplexer_operations ? pty_open_master(flags, path, error)
                                                             : pty_open_controlling(flags, error);
    struct file *file = file_create(device->operations, (void *)device, flags, path);
    *error = file ? 0 : -ENOMEM;
    return file;
}

int64_t device_status(const char *path, bool follow, struct status *status)
{
    const struct device *device = find(path);
    const char *rest;
    if (!device)
        return path_below(path, "/dev/pts", &rest) ? pty_status(path, status) : -ENOENT;
    if (follow && device->target)
        return procfs_status(device->target, true, status);
    status_of(device, status);
    return 0;
}

int64_t device_readlink(const char *path, char *buffer, uint64_t size)
{
    const struct device *device = find(path);
    struct status status;
    if (!device || !device->target)
        return device || pty_status(path, &status) == 0 ? -EINVAL : -ENOENT;
    const size_t length = minimum(strlen(device->target), size);
    memcpy(buffer, device->target, length);
    return (int64_t)length;
}
