/* /proc and /sys. Opening a file generates its text. The paths of the texts imply the
 * directories. The links of /proc/self are here too. */
#include "vfs/procfs.h"
#include "host/call.h"
#include "lib/string.h"
#include "mm/alloc.h"

#define TEXT_FIRST \
    (4 * PAGE_SIZE) /* a text that fills its buffer is generated again, into a larger one */
#define MAX_TEXT          (1ull << 20)
#define MAX_SELF_NAME     128u /* longer than all names below /proc/self */
#define INODE_TEXTS       1000u
#define INODE_LINKS       2000u
#define INODE_DESCRIPTORS 3000u

struct generated_text {
    char *bytes;
    size_t length, index;
};

static const char *const self_links[] = { "/proc/self/cwd", "/proc/self/exe", "/proc/self/root" };
#define SELF_LINKS (sizeof self_links / sizeof *self_links)

/* Maps /proc/<process id> and /proc/thread-self to /proc/self. A path that does not fit the
 * buffer names no existing file. */
static const char *canonical(const char *path, char buffer[MAX_SELF_NAME])
{
    char own[32];
    const char *rest;
    format(own, sizeof own, "/proc/%d", process_id());
    if (!path_below(path, own, &rest) && !path_below(path, "/proc/thread-self", &rest))
        return path;
    format(buffer, MAX_SELF_NAME, "/proc/self%s", rest);
    return buffer;
}

/* Returns the number after /proc/self/fd/; -1 if the path has another form. */
static int descriptor_of(const char *path)
{
    const char *rest;
    if (!path_below(path, "/proc/self/fd", &rest) || !rest[0] || !rest[1])
        return -1;
    int fd = 0;
    for (const char *digit = rest + 1; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || fd >= DESCRIPTORS)
            return -1;
        fd = fd * 10 + (*digit - '0');
    }
    return fd;
}

struct file *procfs_descriptor(const char *path)
{
    char storage[MAX_SELF_NAME];
    const char *rest;
    return path_below(path, "/proc", &rest)
               ? file_get_named(descriptor_of(canonical(path, storage)))
               : NULL;
}

/* ---- Texts ---- */

static int64_t text_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    const struct generated_text *text = file->object;
    if (offset >= text->length)
        return 0;
    length = minimum(length, text->length - offset);
    memcpy(buffer, text->bytes + offset, length);
    return (int64_t)length;
}

/* Like in Linux, the size is 0: it is known only after a read. */
static void text_status(struct file *file, struct status *status)
{
    const struct generated_text *text = file->object;
    *status = (struct status){ .device = DEVICE_PROCESS,
                               .inode = INODE_TEXTS + text->index,
                               .mode = S_IFREG | 0444,
                               .links = 1 };
    status->accessed = status->modified = status->changed = timestamp_now();
}

static void text_release(struct file *file)
{
    struct generated_text *text = file->object;
    kernel_free(text->bytes);
    kernel_free(text);
}

static const struct file_operations text_operations = { .read = text_read,
                                                        .status = text_status,
                                                        .release = text_release,
                                                        .seekable = true };

static size_t generate(const struct generated *file, char *to, size_t size)
{
    return file->text ? format(to, size, "%s", file->text) : file->write(to, size);
}

/* Generates the current text. Returns NULL if memory is out. */
static struct generated_text *write_text(size_t index)
{
    struct generated_text *text = kernel_alloc(sizeof *text);
    char *scratch = NULL;
    size_t size = TEXT_FIRST, length = 0;
    for (; text; size *= 2) {
        scratch = page_alloc(size / PAGE_SIZE);
        length = scratch ? generate(&generated[index], scratch, size) : 0;
        if (!scratch || length < size - 1 || size >= MAX_TEXT)
            break;
        page_free(scratch, size / PAGE_SIZE);
    }
    if (scratch) {
        *text = (struct generated_text){ kernel_alloc(length + 1), length, index };
        if (text->bytes)
            memcpy(text->bytes, scratch, length);
        page_free(scratch, size / PAGE_SIZE);
    }
    if (text && !text->bytes) {
        kernel_free(text);
        text = NULL;
    }
    return text;
}

static struct file *open_text(size_t index, int flags, const char *path)
{
    struct generated_text *text = write_text(index);
    struct file *file = text ? file_create(&text_operations, text, flags, path) : NULL;
    if (text && !file) {
        kernel_free(text->bytes);
        kernel_free(text);
    }
    return file;
}

/* ---- Directories ---- */

static bool same_start(const char *left, const char *right, size_t length)
{
    return strncmp(left, right, length) == 0 && (!left[length] || left[length] == '/') &&
           (!right[length] || right[length] == '/');
}

/* Returns true if a path before number `index` begins with the first `length` characters of that
 * path, up to a slash. */
static bool seen_before(size_t index, size_t length)
{
    for (size_t i = 0; i < index; i++)
        if (strlen(generated[i].path) >= length &&
            same_start(generated[i].path, generated[index].path, length))
            return true;
    return false;
}

static bool emit_link(const char *name, uint64_t inode, uint64_t next, emit_function *emit,
                      void *sink)
{
    return emit(sink, &(struct directory_item){ name, strlen(name), inode, next, TYPE_LINK });
}

/* Lists the texts below a directory and the directories that they imply, from position 2 on.
 * Returns false if one did not fit. */
static bool list_texts(const char *directory, uint64_t *index, emit_function *emit, void *sink)
{
    const char *rest;
    for (; *index < generated_count; ++*index) {
        if (!path_below(generated[*index].path, directory, &rest) || !*rest)
            continue;
        size_t length = 1;
        while (rest[length] && rest[length] != '/')
            length++;
        if (seen_before(*index, (size_t)(rest - generated[*index].path) + length))
            continue;
        const uint8_t type = rest[length] == '/' ? TYPE_DIRECTORY : TYPE_REGULAR;
        if (!emit(sink, &(struct directory_item){ rest + 1, length - 1, INODE_TEXTS + *index,
                                                  *index + 3, type }))
            return false;
    }
    return true;
}

/* Lists the names directly below a directory, each once: texts first, then the process's links
 * and descriptors. */
static int64_t list_directory(struct file *file, uint64_t position, emit_function *emit, void *sink)
{
    char storage[MAX_SELF_NAME];
    const char *directory = canonical(file->path, storage);
    uint64_t index = maximum(position, 2) - 2;
    if (!list_texts(directory, &index, emit, sink) || strcmp(directory, "/proc/self") != 0)
        return 0;
    for (; index < generated_count + SELF_LINKS; index++) {
        const size_t link = index - generated_count;
        if (!emit_link(self_links[link] + strlen("/proc/self/"), INODE_LINKS + link, index + 3,
                       emit, sink))
            return 0;
    }
    if (index == generated_count + SELF_LINKS)
        emit(sink,
             &(struct directory_item){ "fd", 2, INODE_DESCRIPTORS, index + 3, TYPE_DIRECTORY });
    return 0;
}

static int64_t list_descriptors(struct file *file, uint64_t position, emit_function *emit,
                                void *sink)
{
    char name[16];
    for (int fd = (int)(minimum(maximum(position, 2) - 2, DESCRIPTORS)); fd < DESCRIPTORS; fd++) {
        if (!descriptor_in_use(fd))
            continue;
        format(name, sizeof name, "%d", fd);
        if (!emit_link(name, INODE_DESCRIPTORS + 1 + (uint64_t)fd, (uint64_t)fd + 3, emit, sink))
            break;
    }
    return 0;
}

/* A directory's inode number is a hash of its path. */
static void directory_status(struct file *file, struct status *status)
{
    uint64_t inode = 5381;
    for (const char *at = file->path; *at; at++)
        inode = inode * 33 + (uint8_t)*at;
    *status = (struct status){
        .device = DEVICE_PROCESS, .inode = inode, .mode = S_IFDIR | 0555, .links = 2
    };
    status->accessed = status->modified = status->changed = timestamp_now();
}

static const struct file_operations directory_operations = { .list = list_directory,
                                                             .status = directory_status,
                                                             .seekable = true };
static const struct file_operations descriptors_operations = { .list = list_descriptors,
                                                               .status = directory_status,
                                                               .seekable = true };

/* Finds a text, by its index, or a directory. */
static bool find(const char *name, size_t *index, const struct file_operations **directory)
{
    const char *rest;
    *directory = strcmp(name, "/proc/self/fd") == 0 ? &descriptors_operations : NULL;
    for (*index = 0; *index < generated_count && !*directory; ++*index) {
        if (strcmp(name, generated[*index].path) == 0)
            return true;
        if (path_below(generated[*index].path, name, &rest))
            *directory = &directory_operations;
    }
    return *directory;
}

static bool is_link(const char *name)
{
    for (size_t i = 0; i < SELF_LINKS; i++)
        if (strcmp(name, self_links[i]) == 0)
            return true;
    return descriptor_in_use(descriptor_of(name));
}

struct file *procfs_open(const char *path, int flags, int64_t *error)
{
    char storage[MAX_SELF_NAME];
    const char *name = canonical(path, storage);
    const struct file_operations *directory;
    size_t index;
    if (is_link(name))
        *error = -ELOOP;
    else if (!find(name, &index, &directory))
        *error = -ENOENT;
    else if ((flags & O_CREAT) && (flags & O_EXCL))
        *error = -EEXIST;
    else if ((flags & O_ACCMODE) != O_RDONLY)
        *error = directory ? -EISDIR : -EACCES;
    else if (!directory && (flags & O_DIRECTORY))
        *error = -ENOTDIR;
    else {
        struct file *file = directory ? file_create(directory, NULL, flags, path)
                                      : open_text(index, flags, path);
        *error = file ? 0 : -ENOMEM;
        return file;
    }
    return NULL;
}

int64_t procfs_readlink(const char *path, char *buffer, uint64_t size)
{
    char storage[MAX_SELF_NAME], text[64];
    const char *name = canonical(path, storage), *target = text;
    const struct file_operations *directory;
    size_t index;
    struct file *file = file_get_named(descriptor_of(name));
    if (strcmp(name, "/proc/self/exe") == 0)
        target = vfs_program->path;
    else if (strcmp(name, "/proc/self/cwd") == 0)
        target = path_working_directory();
    else if (strcmp(name, "/proc/self/root") == 0)
        target = "/";
    else if (file && file->path)
        target = file->path;
    else if (file)
        file_describe(file, text, sizeof text);
    else
        return find(name, &index, &directory) ? -EINVAL : -ENOENT;
    const size_t length = minimum(strlen(target), size);
    memcpy(buffer, target, length);
    file_put(file);
    return (int64_t)length;
}

static void link_status(struct status *status)
{
    *status = (struct status){
        .device = DEVICE_PROCESS, .inode = INODE_LINKS, .mode = S_IFLNK | 0777, .links = 1
    };
    status->accessed = status->modified = status->changed = timestamp_now();
}

int64_t procfs_status(const char *path, bool follow, struct status *status)
{
    char storage[MAX_SELF_NAME];
    const char *name = canonical(path, storage);
    int64_t error;
    struct file *file = follow ? file_get_named(descriptor_of(name)) : NULL;
    if (!file && is_link(name)) {
        if (follow)
            return strcmp(name, "/proc/self/exe") == 0
                       ? path_status(vfs_program->path, true, status)
                       : path_status(strcmp(name, "/proc/self/cwd") == 0 ? path_working_directory()
                                                                         : "/",
                                     true, status);
        link_status(status);
        return 0;
    }
    if (!file)
        file = procfs_open(path, O_RDONLY, &error);
    if (!file)
        return error;
    file->operations->status(file, status);
    file_put(file);
    return 0;
}
