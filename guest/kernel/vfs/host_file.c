/* Files and directories of the host, read-only. A hypercall costs more than a copy of tens of
 * kilobytes. So small files are fetched as a whole, and larger files are read ahead if a program
 * reads small parts in sequence. */
#include "host/call.h"
#include "host/hypercall.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "vfs/data_file.h"
#include "vfs/host_cache.h"

#define BUFFER_BYTES 65536u
#define SMALL_READ   32768u       /* shorter reads in sequence are worth reading ahead */
#define MAX_READ     (1ull << 30) /* bytes of one hypercall */

struct host_file {
    struct udfvm_stat stat;
    struct host_file *older, *newer; /* the list of files that have a handle */
    int64_t handle;                  /* -1: none; valid only in the call `sequence` */
    uint64_t sequence;
    char *buffer; /* the bytes [buffer_start, buffer_start + buffer_length) of the file */
    uint64_t buffer_start, buffer_length;
    uint64_t expected; /* offset of the next read if the reads are sequential */
};

static struct host_file *oldest, *newest;

/* ---- Status ---- */

static struct timestamp modified_time(const struct udfvm_stat *stat)
{
    return (struct timestamp){ stat->mtime_seconds, (uint32_t)stat->mtime_nanoseconds };
}

static void convert(const struct udfvm_stat *from, struct status *to)
{
    const struct timestamp time = modified_time(from);
    *to = (struct status){
        .device = from->device,
        .inode = from->inode,
        .size = from->size,
        .mode = from->mode,
        .links = from->links,
        .uid = from->uid,
        .gid = from->gid,
        .accessed = time,
        .modified = time,
        .changed = time,
    };
}

static int64_t known_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    const struct known_path *known = cache_find(path);
    const int64_t result = !known ? UNKNOWN : follow ? known->followed_result : known->own_result;
    if (result == 0)
        *stat = follow ? *known->followed : *known->own;
    return result == UNKNOWN && cache_denies(path) ? -ENOENT : result;
}

static int64_t find_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    int64_t result = known_status(path, follow, stat);
    if (result == UNKNOWN) {
        cache_learn(path, true); /* programs look up mostly missing names in a directory */
        result = known_status(path, follow, stat);
    }
    if (result != UNKNOWN)
        return result;
    result = hypercall(UDFVM_HYPERCALL_FILE_STAT, (uint64_t)path, strlen(path), (uint64_t)stat,
                       follow, 0);
    cache_status(path, follow, result, stat);
    if (result == -ENOENT)
        cache_learn(path, false);
    return result;
}

int64_t host_status(const char *path, bool follow, struct status *status)
{
    struct udfvm_stat stat;
    if (data_has(path)) {
        data_status(path, status);
        return 0;
    }
    int64_t result = find_status(path, follow, &stat);
    if (result == 0)
        convert(&stat, status);
    return result;
}

int64_t host_readlink(const char *path, char *buffer, uint64_t size)
{
    struct udfvm_stat stat;
    int64_t result = data_has(path) ? -EINVAL : find_status(path, false, &stat);
    if (result == 0 && (stat.mode & S_IFMT) != S_IFLNK)
        result = -EINVAL;
    return result ? result
                  : hypercall(UDFVM_HYPERCALL_FILE_READLINK, (uint64_t)path, strlen(path),
                              (uint64_t)buffer, size, 0);
}

/* ---- Handles ---- */

static void unlist(struct host_file *host)
{
    *(host->older ? &host->older->newer : &oldest) = host->newer;
    *(host->newer ? &host->newer->older : &newest) = host->older;
    host->older = host->newer = NULL;
    host->handle = -1;
}

static void close_handle(struct host_file *host)
{
    if (host->handle < 0)
        return;
    if (host->sequence == call_sequence())
        hypercall(UDFVM_HYPERCALL_FILE_CLOSE, (uint64_t)host->handle, 0, 0, 0, 0);
    unlist(host);
}

/* The host limits the number of handles. At the limit, the handle opened first is closed. Its
 * file opens a new one at its next read. */
static int64_t open_handle(const char *path, struct host_file *host, struct udfvm_stat *stat)
{
    int64_t handle;
    while ((handle = hypercall(UDFVM_HYPERCALL_FILE_OPEN, (uint64_t)path, strlen(path),
                               (uint64_t)stat, 0, 0)) == -EMFILE &&
           oldest)
        close_handle(oldest);
    if (handle < 0)
        return handle;
    host->handle = handle;
    host->sequence = call_sequence();
    host->older = newest;
    *(newest ? &newest->newer : &oldest) = host;
    newest = host;
    return 0;
}

static int64_t current_handle(struct file *file)
{
    struct host_file *host = file->object;
    struct udfvm_stat stat;
    if (host->handle >= 0 && host->sequence != call_sequence())
        unlist(host);
    const int64_t error = host->handle < 0 ? open_handle(file->path, host, &stat) : 0;
    return error ? error : host->handle;
}

void host_forget_handles(void)
{
    while (oldest)
        unlist(oldest);
}

/* ---- Reading ---- */

/* Reads all of [offset, offset + length), which lies in the file. */
static int64_t fetch(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    uint64_t done = 0;
    while (done < length) {
        int64_t got = current_handle(file);
        if (got >= 0)
            got = hypercall(UDFVM_HYPERCALL_FILE_READ, (uint64_t)got, offset + done,
                            (uint64_t)buffer + done, minimum(length - done, MAX_READ), 0);
        if (got < 0)
            return done ? (int64_t)done : got;
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

static bool in_buffer(const struct host_file *host, uint64_t offset)
{
    return host->buffer && offset >= host->buffer_start &&
           offset - host->buffer_start < host->buffer_length;
}

/* Fills the buffer, if the file is small, or if the reads are short and sequential. Returns
 * false if it does not. */
static bool fill_buffer(struct file *file, uint64_t offset, uint64_t length)
{
    struct host_file *host = file->object;
    const bool whole = host->stat.size <= BUFFER_BYTES;
    if (whole ? length >= host->stat.size
              : length > SMALL_READ || offset == 0 || offset != host->expected)
        return false;
    if (!host->buffer)
        host->buffer = kernel_alloc(whole ? host->stat.size : BUFFER_BYTES);
    if (!host->buffer)
        return false;
    host->buffer_start = whole ? 0 : offset;
    host->buffer_length = 0;
    int64_t got = fetch(file, host->buffer_start, host->buffer,
                        minimum(host->stat.size - host->buffer_start, BUFFER_BYTES));
    host->buffer_length = got > 0 ? (uint64_t)got : 0;
    return in_buffer(host, offset);
}

static int64_t host_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct host_file *host = file->object;
    if (offset >= host->stat.size)
        return 0;
    length = minimum(length, host->stat.size - offset);
    uint64_t done = 0;
    while (done < length) {
        const uint64_t start = offset + done;
        if (!in_buffer(host, start) && !fill_buffer(file, start, length - done)) {
            int64_t got = fetch(file, start, (char *)buffer + done, length - done);
            if (got < 0 && !done)
                return got;
            done += got > 0 ? (uint64_t)got : 0;
            break;
        }
        const uint64_t part = minimum(length - done,
                                      host->buffer_length - (start - host->buffer_start));
        memcpy((char *)buffer + done, host->buffer + (start - host->buffer_start), part);
        done += part;
    }
    host->expected = offset + done;
    return (int64_t)done;
}

/* ---- Listing ---- */

struct cursor {
    uint64_t number, first, base;
    emit_function *emit;
    void *sink;
    bool full;
};

static void emit_entries(const struct udfvm_directory_entry *entries, size_t length,
                         struct cursor *cursor)
{
    for (size_t offset = 0; offset < length && !cursor->full; cursor->number++) {
        const struct udfvm_directory_entry *entry = entry_at(entries, offset);
        const struct directory_item item = {
            entry->name, entry->name_length, entry->inode, cursor->base + cursor->number + 1,
            entry->type,
        };
        if (entry->record_length < sizeof *entry ||
            (cursor->number >= cursor->first && !cursor->emit(cursor->sink, &item)))
            cursor->full = true;
        offset += entry->record_length;
    }
}

int64_t host_list(const char *path, uint64_t base, uint64_t position, emit_function *emit,
                  void *sink)
{
    const struct udfvm_directory_entry *entries;
    size_t known;
    if (!data_list_itself(path, &base, &position, emit, sink))
        return 0;
    struct cursor cursor = { .first = position - base, .base = base, .emit = emit, .sink = sink };
    if (data_has(path)) {
        data_list(base, position, emit, sink);
        return 0;
    }
    if (cache_listing(path, &entries, &known)) {
        emit_entries(entries, known, &cursor);
        return 0;
    }
    char *chunk = page_alloc(LISTING_BYTES / PAGE_SIZE);
    int64_t got = chunk ? 1 : -ENOMEM;
    cursor.number = cursor.first;
    while (got > 0 && !cursor.full) {
        got = hypercall(UDFVM_HYPERCALL_FILE_LIST, (uint64_t)path, strlen(path), cursor.number,
                        (uint64_t)chunk, LISTING_BYTES);
        if (got > 0)
            emit_entries((const struct udfvm_directory_entry *)chunk, (size_t)got, &cursor);
    }
    if (chunk)
        page_free(chunk, LISTING_BYTES / PAGE_SIZE);
    return got < 0 ? got : 0;
}

/* The directories above those that the host serves have a status, but no listing. */
static int64_t list_file(struct file *file, uint64_t position, emit_function *emit, void *sink)
{
    int64_t result = host_list(file->path, 2, position, emit, sink);
    return result == -ENOENT ? -EACCES : result;
}

/* ---- Opening ---- */

static void host_file_status(struct file *file, struct status *status)
{
    convert(&((const struct host_file *)file->object)->stat, status);
}

static void host_release(struct file *file)
{
    struct host_file *host = file->object;
    close_handle(host);
    kernel_free(host->buffer);
    kernel_free(host);
}

static const struct file_operations file_operations = {
    .read = host_read,
    .status = host_file_status,
    .release = host_release,
    .seekable = true,
    .constant = true,
    .mappable = true,
};
static const struct file_operations directory_operations = {
    .list = list_file,
    .status = host_file_status,
    .release = host_release,
    .seekable = true,
};

/* Returns the error of opening for writing. */
static int64_t check_writing(bool directory, int flags)
{
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    return directory && (writes || (flags & O_CREAT)) ? -EISDIR : writes ? -EROFS : 0;
}

/* Independent of the file's content. */
int64_t host_check_flags(uint32_t mode, int flags)
{
    const bool directory = (mode & S_IFMT) == S_IFDIR;
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if ((mode & S_IFMT) == S_IFLNK)
        return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return directory ? -EROFS : -ENOTDIR;
    const int64_t error = check_writing(directory, flags);
    if (error || (flags & O_CREAT))
        return error;
    return !directory && (flags & O_DIRECTORY) ? -ENOTDIR : 0;
}

/* Directories are listed by path, so only regular files take a handle. */
static int64_t open_host(const char *path, int flags, struct host_file *host)
{
    const int unusual = O_CREAT | O_TRUNC | O_NOFOLLOW | O_DIRECTORY | O_ACCMODE;
    const bool exclusive = (flags & O_CREAT) && (flags & O_EXCL);
    int64_t result = known_status(path, true, &host->stat);
    if (flags & unusual) {
        result = find_status(path, !(flags & O_NOFOLLOW) && !exclusive, &host->stat);
        if (result == 0)
            result = host_check_flags(host->stat.mode, flags);
    }
    if (result < 0 || (result == 0 && (host->stat.mode & S_IFMT) == S_IFDIR))
        return result;
    result = open_handle(path, host, &host->stat);
    cache_status(path, true, result, &host->stat);
    if (result == -ENOENT)
        cache_learn(path, false);
    if (result == 0 && (host->stat.mode & S_IFMT) == S_IFDIR)
        close_handle(host);
    return result;
}

struct file *host_open(const char *path, int flags, int64_t *error)
{
    if (data_has(path))
        return data_open(path, flags, error);
    struct host_file *host = kernel_alloc(sizeof *host);
    if (!host) {
        *error = -ENOMEM;
        return NULL;
    }
    host->handle = -1;
    *error = open_host(path, flags, host);
    const bool directory = (host->stat.mode & S_IFMT) == S_IFDIR;
    struct file *file = *error ? NULL
                               : file_create(directory ? &directory_operations : &file_operations,
                                             host, flags, path);
    if (file)
        return file;
    *error = *error ? *error : -ENOMEM;
    close_handle(host);
    kernel_free(host);
    return NULL;
}
