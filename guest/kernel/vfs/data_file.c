/* /data: files that the function was given. They lie in memory of the host's, which all VMs that
 * have them share and nobody can write, so a mapping for reading is that memory itself. */
#include "vfs/data_file.h"
#include "host/data.h"
#include "lib/string.h"

#define DIRECTORY   "/data"
#define FIRST_INODE 2u
#define OWN_INODE   1u

/* Of a file in /data; NULL: it is no such path. */
static const struct udfvm_data_file *file_of(const char *path)
{
    const char *rest;
    return path_below(path, DIRECTORY, &rest) && *rest ? data_find(rest + 1, strlen(rest + 1))
                                                       : NULL;
}

static bool is_directory(const char *path)
{
    return strcmp(path, DIRECTORY) == 0;
}

bool data_has(const char *path)
{
    return strncmp(path, DIRECTORY, sizeof DIRECTORY - 1) == 0 && data_directory() &&
           (is_directory(path) || file_of(path));
}

static void directory_status(struct status *status)
{
    *status = (struct status){
        .device = DEVICE_DATA, .inode = OWN_INODE, .mode = S_IFDIR | 0555, .links = 2
    };
}

static uint64_t inode_of(const struct udfvm_data_file *data)
{
    return FIRST_INODE + (uint64_t)(data - data_directory()->files);
}

static void file_status(const struct udfvm_data_file *data, struct status *status)
{
    const struct timestamp time = { data->mtime_seconds, (uint32_t)data->mtime_nanoseconds };
    *status = (struct status){ .device = DEVICE_DATA,
                               .inode = inode_of(data),
                               .size = data->size,
                               .mode = S_IFREG | 0444,
                               .links = 1,
                               .accessed = time,
                               .modified = time,
                               .changed = time };
}

void data_status(const char *path, struct status *status)
{
    const struct udfvm_data_file *data = file_of(path);
    if (data)
        file_status(data, status);
    else
        directory_status(status);
}

/* ---- An open file ---- */

static const struct udfvm_data_file *data_of(const struct file *file)
{
    return file->object;
}

static int64_t data_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    const struct udfvm_data_file *data = data_of(file);
    if (offset >= data->size)
        return 0;
    length = minimum(length, data->size - offset);
    memcpy(buffer, (const char *)data->address + offset, length);
    return (int64_t)length;
}

static void status_of_file(struct file *file, struct status *status)
{
    file_status(data_of(file), status);
}

static void status_of_directory(struct file *file, struct status *status)
{
    directory_status(status);
}

static uint64_t data_place(const struct file *file)
{
    return data_of(file)->address;
}

void data_list(uint64_t base, uint64_t position, emit_function *emit, void *sink)
{
    const struct udfvm_data_directory *directory = data_directory();
    for (uint64_t i = position - base; directory && i < directory->count; i++) {
        const struct udfvm_data_file *data = &directory->files[i];
        const struct directory_item item = { data->name, strlen(data->name), inode_of(data),
                                             base + i + 1, TYPE_REGULAR };
        if (!emit(sink, &item))
            return;
    }
}

bool data_list_itself(const char *path, uint64_t *base, uint64_t *position, emit_function *emit,
                      void *sink)
{
    if (path[1] || !data_directory()) /* not "/" */
        return true;
    const struct directory_item item = { DIRECTORY + 1, sizeof DIRECTORY - 2, OWN_INODE, *base + 1,
                                         TYPE_DIRECTORY };
    if (*position == *base && !emit(sink, &item))
        return false;
    *position = maximum(*position, ++*base);
    return true;
}

static int64_t list_directory(struct file *file, uint64_t position, emit_function *emit, void *sink)
{
    data_list(2, maximum(position, 2), emit, sink);
    return 0;
}

static const struct file_operations file_operations = {
    .read = data_read,
    .status = status_of_file,
    .place = data_place,
    .seekable = true,
    .constant = true,
    .mappable = true,
};
static const struct file_operations directory_operations = {
    .list = list_directory,
    .status = status_of_directory,
    .seekable = true,
};

struct file *data_open(const char *path, int flags, int64_t *error)
{
    const struct udfvm_data_file *data = file_of(path);
    struct status status;
    data_status(path, &status);
    *error = host_check_flags(status.mode, flags);
    if (*error)
        return NULL;
    /* The object is only read: the list of files is the host's. */
    struct file *file = file_create(data ? &file_operations : &directory_operations,
                                    (void *)(uintptr_t)data, flags, path);
    *error = file ? 0 : -ENOMEM;
    return file;
}
