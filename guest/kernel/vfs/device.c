/* Devices: null, zero, full, random, and the three standard streams. */
#include "file.h"
#include "hypercall.h"

#define DEVICE 0x6465u
#define STREAM_BUFFER 4096u

static struct { char text[STREAM_BUFFER]; uint64_t length; uint64_t stream; } pending;

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

static int64_t write_nowhere(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return (int64_t)length;
}

static int64_t write_full(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return -ENOSPC;
}

void standard_streams_flush(void)
{
    if (pending.length)
        hypercall(UDFVM_HC_LOG, pending.stream, (uint64_t)pending.text, pending.length, 0, 0);
    pending.length = 0;
}

/* Both streams share a buffer, so that what they say stays in order. */
static int64_t write_stream(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    if (pending.length && pending.stream != file->cookie)
        standard_streams_flush();
    pending.stream = file->cookie;
    for (uint64_t done = 0; done < length;) {
        const uint64_t part = minimum(length - done, STREAM_BUFFER - pending.length);
        memcpy(pending.text + pending.length, (const char *)buffer + done, part);
        pending.length += part;
        done += part;
        if (pending.length == STREAM_BUFFER)
            standard_streams_flush();
    }
    return (int64_t)length;
}

static void character_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 1, .mode = S_IFCHR | 0666, .links = 1 };
}

static const struct file_operations input_operations = { .read = read_nothing, .status = character_status };
static const struct file_operations output_operations = { .write = write_stream, .status = character_status };
static const struct { const char *path; struct file_operations operations; } devices[] = {
    { "/dev/null", { .read = read_nothing, .write = write_nowhere, .status = character_status } },
    { "/dev/zero", { .read = read_zeros, .write = write_nowhere, .status = character_status } },
    { "/dev/full", { .read = read_zeros, .write = write_full, .status = character_status } },
    { "/dev/urandom", { .read = read_random, .write = write_nowhere, .status = character_status } },
    { "/dev/random", { .read = read_random, .write = write_nowhere, .status = character_status } },
    { "/dev/stdin", { .read = read_nothing, .status = character_status } },
    { "/dev/stdout", { .write = write_stream, .status = character_status } },
    { "/dev/stderr", { .write = write_stream, .status = character_status } },
};
#define DEVICES (sizeof devices / sizeof *devices)

static bool device_entry(struct file *file, uint64_t index, struct directory_item *item)
{
    if (index >= DEVICES)
        return false;
    const char *name = devices[index].path + 5;
    *item = (struct directory_item){ name, strlen(name), index + 2, CHARACTER_TYPE };
    return true;
}

static void directory_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 100, .mode = S_IFDIR | 0755, .links = 2 };
}

static const struct file_operations directory_operations = { .entry = device_entry, .status = directory_status, .seekable = true };

struct file *standard_stream(int fd)
{
    struct file *file = file_create(fd == 0 ? &input_operations : &output_operations, NULL, fd == 0 ? O_RDONLY : O_WRONLY, NULL);
    if (file)
        file->cookie = (uint64_t)fd;
    return file;
}

struct file *device_open(const char *path, int flags, int64_t *error)
{
    const struct file_operations *operations = strcmp(path, "/dev") == 0 ? &directory_operations : NULL;
    for (size_t i = 0; i < DEVICES; i++)
        if (strcmp(path, devices[i].path) == 0)
            operations = &devices[i].operations;
    struct file *file = operations ? file_create(operations, NULL, flags, path) : NULL;
    if (file)
        file->cookie = strcmp(path, "/dev/stderr") == 0 ? 2 : 1;
    *error = !operations ? -ENOENT : file ? 0 : -ENOMEM;
    return file;
}

int64_t device_status(const char *path, struct udfvm_stat *stat)
{
    int64_t error;
    struct file *file = device_open(path, O_RDONLY, &error);
    if (!file)
        return error;
    file->operations->status(file, stat);
    file_put(file);
    return 0;
}
