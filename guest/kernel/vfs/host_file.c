/* Files and directories of the host, read-only. */
#include "file.h"
#include "hypercall.h"

#define CACHED_FILE_MAX 65536u                   /* a file up to this size is fetched whole at its first read */

struct host_file {
    struct udfvm_stat stat;
    int64_t handle;                              /* of the host, valid in the call `sequence` */
    uint64_t sequence;
    char *contents;                              /* NULL until read, or larger than CACHED_FILE_MAX */
    const struct listing *listing;               /* directories */
};

static int64_t ask_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    return hypercall(UDFVM_HC_FILE_STAT, (uint64_t)path, strlen(path), (uint64_t)stat, follow, 0);
}

/* After a miss, the directory is listed, so that the next miss in it is known without asking. */
static void learn_directory(const char *path)
{
    char directory[PATH_LIMIT];
    int64_t error;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] != '/')
        length--;
    if (length <= 1)
        return;
    memcpy(directory, path, length - 1);
    directory[length - 1] = 0;
    cached_listing(directory, &error);
}

int64_t host_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    int64_t result = cached_status(path, stat);
    if (result < 0 || (result == 0 && (follow ? (stat->mode & S_IFMT) != S_IFLNK : true)))
        return result;
    if (result > 0 && known_absent(path))
        return -ENOENT;
    result = ask_status(path, false, stat);
    if (result == 0 || result == -ENOENT || result == -ENOTDIR)
        cache_status(path, result, stat);
    if (result == -ENOENT)
        learn_directory(path);
    if (result == 0 && follow && (stat->mode & S_IFMT) == S_IFLNK)
        result = ask_status(path, true, stat);
    return result;
}

int64_t host_readlink(const char *path, char *buffer, uint64_t size)
{
    struct udfvm_stat stat;
    int64_t result = host_status(path, false, &stat);
    if (result == 0 && (stat.mode & S_IFMT) != S_IFLNK)
        result = -EINVAL;
    return result ? result : hypercall(UDFVM_HC_FILE_READLINK, (uint64_t)path, strlen(path), (uint64_t)buffer, size, 0);
}

/* The handle, opened again where a call has ended since. */
static int64_t current_handle(struct file *file)
{
    struct host_file *host = file->object;
    struct udfvm_stat stat;
    if (host->handle < 0 || host->sequence != call_sequence()) {
        host->handle = hypercall(UDFVM_HC_FILE_OPEN, (uint64_t)file->path, strlen(file->path), (uint64_t)&stat, 0, 0);
        host->sequence = call_sequence();
    }
    return host->handle;
}

static int64_t read_host(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    uint64_t done = 0;
    int64_t handle = current_handle(file);
    while (handle >= 0 && done < length) {
        int64_t got = hypercall(UDFVM_HC_FILE_READ, (uint64_t)handle, offset + done, (uint64_t)buffer + done,
                                minimum(length - done, 1ull << 30), 0);
        if (got < 0)
            return done ? (int64_t)done : got;
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    return handle < 0 ? handle : (int64_t)done;
}

static int64_t host_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct host_file *host = file->object;
    if (offset >= host->stat.size)
        return 0;
    length = minimum(length, host->stat.size - offset);
    if (!host->contents && host->stat.size <= CACHED_FILE_MAX && length < host->stat.size) {
        char *contents = kernel_alloc(host->stat.size);
        if (contents && read_host(file, 0, contents, host->stat.size) == (int64_t)host->stat.size)
            host->contents = contents;
        else
            kernel_free(contents);
    }
    if (!host->contents)
        return read_host(file, offset, buffer, length);
    memcpy(buffer, host->contents + offset, length);
    return (int64_t)length;
}

static bool host_entry(struct file *file, uint64_t index, struct directory_item *item)
{
    struct host_file *host = file->object;
    uint64_t number = 0;
    size_t at = 0;
    if (file->cookie >> 32 && (file->cookie >> 32) - 1 <= index) {       /* the entry last returned: number + 1, position */
        number = (file->cookie >> 32) - 1;
        at = (uint32_t)file->cookie;
    }
    for (; at < host->listing->length; number++) {
        const struct udfvm_directory_entry *entry = (const struct udfvm_directory_entry *)(host->listing->entries + at);
        if (number == index) {
            file->cookie = (number + 1) << 32 | at;
            *item = (struct directory_item){ entry->name, entry->name_length, entry->inode, entry->type };
            return true;
        }
        at += entry->record_length;
    }
    return false;
}

static void host_file_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = ((const struct host_file *)file->object)->stat;
}

static void host_release(struct file *file)
{
    struct host_file *host = file->object;
    if (host->handle >= 0 && host->sequence == call_sequence())
        hypercall(UDFVM_HC_FILE_CLOSE, (uint64_t)host->handle, 0, 0, 0, 0);
    kernel_free(host->contents);
    kernel_free(host);
}

static const struct file_operations file_operations = {
    .read = host_read, .status = host_file_status, .release = host_release, .seekable = true, .constant = true,
};
static const struct file_operations directory_operations = {
    .entry = host_entry, .status = host_file_status, .release = host_release, .seekable = true,
};

static int64_t open_host(const char *path, int flags, struct host_file *host)
{
    struct udfvm_stat *stat = &host->stat;
    host->handle = -1;
    int64_t known = cached_status(path, stat);
    if (known < 0 || (known > 0 && known_absent(path)))
        return known < 0 ? known : -ENOENT;
    if ((flags & O_NOFOLLOW) && host_status(path, false, stat) == 0 && (stat->mode & S_IFMT) == S_IFLNK)
        return -ELOOP;
    if (known == 0 && (stat->mode & S_IFMT) == S_IFDIR)
        return 0;                                /* listed, not read: it needs no handle */
    int64_t handle = hypercall(UDFVM_HC_FILE_OPEN, (uint64_t)path, strlen(path), (uint64_t)stat, 0, 0);
    if (handle == -ENOENT) {
        cache_status(path, handle, stat);
        learn_directory(path);
    }
    host->handle = handle;
    host->sequence = call_sequence();
    return handle < 0 ? handle : 0;
}

struct file *host_open(const char *path, int flags, int64_t *error)
{
    struct host_file *host = kernel_alloc(sizeof *host);
    if (!host) {
        *error = -ENOMEM;
        return NULL;
    }
    int64_t result = open_host(path, flags, host);
    const bool directory = result == 0 && (host->stat.mode & S_IFMT) == S_IFDIR;
    if (result == 0 && (flags & O_CREAT) && (flags & O_EXCL))
        result = -EEXIST;
    else if (result == 0 && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
        result = directory ? -EISDIR : -EROFS;
    else if (result == -ENOENT && (flags & O_CREAT))
        result = -EROFS;
    else if (result == 0 && !directory && (flags & O_DIRECTORY))
        result = -ENOTDIR;
    else if (directory)
        host->listing = cached_listing(path, &result);
    struct file *file = result == 0 ? file_create(directory ? &directory_operations : &file_operations, host, flags, path) : NULL;
    if (file)
        return file;
    if (host->handle >= 0)
        hypercall(UDFVM_HC_FILE_CLOSE, (uint64_t)host->handle, 0, 0, 0, 0);
    kernel_free(host);
    *error = result ? result : -ENOMEM;
    return NULL;
}
