/* The few files of /proc and /sys that programs read, written when they are opened. */
#include "file.h"

#include <cpuid.h>

#define DEVICE 0x7072u
#define TEXT_SIZE 65536u

struct text { char *bytes; size_t length; };

static size_t write_command_line(char *to, size_t size)
{
    size_t length = 0;
    for (int i = 0; i < boot_info.argc && length + strlen(boot_info.argv[i]) + 1 < size; i++) {
        memcpy(to + length, boot_info.argv[i], strlen(boot_info.argv[i]) + 1);
        length += strlen(boot_info.argv[i]) + 1;
    }
    return length;
}

static size_t write_memory(char *to, size_t size)
{
    struct memory_statistics memory;
    memory_statistics(&memory);
    const unsigned long long total = memory.total / 1024, available = (memory.total - memory.used) / 1024;
    return format(to, size, "MemTotal: %llu kB\nMemFree: %llu kB\nMemAvailable: %llu kB\nBuffers: 0 kB\nCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
                  total, available, available);
}

static size_t write_status(char *to, size_t size)
{
    struct memory_statistics memory;
    memory_statistics(&memory);
    return format(to, size, "Name:\tguest\nState:\tR (running)\nPid:\t%d\nPPid:\t%d\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nVmSize:\t%llu kB\nVmRSS:\t%llu kB\nThreads:\t1\n"
                            "Cpus_allowed:\t1\nCpus_allowed_list:\t0\n",
                  PROCESS_ID, PARENT_ID, (unsigned long long)(memory.used / 1024), (unsigned long long)(memory.used / 1024));
}

static size_t write_sizes(char *to, size_t size)
{
    struct memory_statistics memory;
    memory_statistics(&memory);
    const unsigned long long pages = memory.used / PAGE_SIZE;
    return format(to, size, "%llu %llu 0 0 0 %llu 0\n", pages, pages, pages);
}

static size_t write_stat(char *to, size_t size)
{
    return format(to, size, "%d (guest) R %d %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                  PROCESS_ID, PARENT_ID, PROCESS_ID, PROCESS_ID);
}

static size_t write_processor(char *to, size_t size)
{
    unsigned words[12] = { 0 }, eax, ebx, ecx, edx;
    char name[sizeof words + 1] = { 0 }, vendor[13] = { 0 };
    for (unsigned leaf = 0; leaf < 3; leaf++)
        __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1], &words[4 * leaf + 2], &words[4 * leaf + 3]);
    memcpy(name, words, sizeof words);
    __cpuid(0, eax, ebx, ecx, edx);
    memcpy(vendor, &ebx, 4);
    memcpy(vendor + 4, &edx, 4);
    memcpy(vendor + 8, &ecx, 4);
    return format(to, size, "processor\t: 0\nvendor_id\t: %s\nmodel name\t: %s\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nflags\t\t: fpu\n\n", vendor, name);
}

static size_t write_maps(char *to, size_t size) { return memory_maps(to, size); }
static size_t write_name(char *to, size_t size) { return format(to, size, "guest\n"); }
static size_t write_zero(char *to, size_t size) { return format(to, size, "0\n"); }
static size_t write_one(char *to, size_t size) { return format(to, size, "1\n"); }
static size_t write_huge(char *to, size_t size) { return format(to, size, "always madvise [never]\n"); }
static size_t write_system_stat(char *to, size_t size) { return format(to, size, "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nbtime 0\n"); }
static size_t write_version(char *to, size_t size) { return format(to, size, "Linux version 6.1.0-udfvm\n"); }
static size_t write_mounts(char *to, size_t size) { return format(to, size, "host / host ro 0 0\ntmpfs /tmp tmpfs rw 0 0\nproc /proc proc ro 0 0\n"); }
static size_t write_cgroup(char *to, size_t size) { return format(to, size, "0::/\n"); }
static size_t write_load(char *to, size_t size) { return format(to, size, "0.00 0.00 0.00 1/1 %d\n", PROCESS_ID); }
static size_t write_limit_files(char *to, size_t size) { return format(to, size, "%d\n", DESCRIPTORS); }

static const struct { const char *path; size_t (*write)(char *to, size_t size); } texts[] = {
    { "/proc/self/maps", write_maps },
    { "/proc/self/smaps", write_maps },
    { "/proc/self/status", write_status },
    { "/proc/self/statm", write_sizes },
    { "/proc/self/stat", write_stat },
    { "/proc/self/cmdline", write_command_line },
    { "/proc/self/comm", write_name },
    { "/proc/self/cgroup", write_cgroup },
    { "/proc/self/mounts", write_mounts },
    { "/proc/mounts", write_mounts },
    { "/proc/meminfo", write_memory },
    { "/proc/cpuinfo", write_processor },
    { "/proc/stat", write_system_stat },
    { "/proc/loadavg", write_load },
    { "/proc/version", write_version },
    { "/proc/sys/vm/overcommit_memory", write_one },
    { "/proc/sys/vm/max_map_count", write_limit_files },
    { "/proc/sys/fs/file-max", write_limit_files },
    { "/sys/devices/system/cpu/online", write_zero },
    { "/sys/devices/system/cpu/possible", write_zero },
    { "/sys/devices/system/cpu/present", write_zero },
    { "/sys/devices/system/node/online", write_zero },
    { "/sys/kernel/mm/transparent_hugepage/enabled", write_huge },
};
#define TEXTS (sizeof texts / sizeof *texts)

bool procfs_covers(const char *path)
{
    const char *rest;
    return path_below(path, "/proc", &rest) || path_below(path, "/sys", &rest);
}

/* /proc/<own number> is /proc/self. */
static const char *canonical(const char *path, char buffer[PATH_LIMIT])
{
    char own[32];
    const char *rest;
    format(own, sizeof own, "/proc/%d", PROCESS_ID);
    if (!path_below(path, own, &rest) && !path_below(path, "/proc/thread-self", &rest))
        return path;
    format(buffer, PATH_LIMIT, "/proc/self%s", rest);
    return buffer;
}

static int64_t text_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    const struct text *text = file->object;
    if (offset >= text->length)
        return 0;
    length = minimum(length, text->length - offset);
    memcpy(buffer, text->bytes + offset, length);
    return (int64_t)length;
}

static void text_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 1, .mode = S_IFREG | 0444, .links = 1 };
}

static void text_release(struct file *file)
{
    struct text *text = file->object;
    kernel_free(text->bytes);
    kernel_free(text);
}

static const struct file_operations text_operations = { .read = text_read, .status = text_status, .release = text_release, .seekable = true };

/* Names directly below a directory of the table, each once. */
static bool directory_entry(struct file *file, uint64_t index, struct directory_item *item)
{
    char storage[PATH_LIMIT];
    const char *directory = canonical(file->path, storage), *rest, *before;
    for (size_t i = 0; i < TEXTS; i++) {
        if (!path_below(texts[i].path, directory, &rest) || !*rest)
            continue;
        const char *name = rest + 1;
        size_t length = 0;
        while (name[length] && name[length] != '/')
            length++;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = path_below(texts[j].path, directory, &before) && strncmp(before, rest, length + 1) == 0
                   && (before[length + 1] == '/' || !before[length + 1]);
        if (!seen && index-- == 0) {
            *item = (struct directory_item){ name, length, i + 2, name[length] ? DIRECTORY_TYPE : REGULAR_TYPE };
            return true;
        }
    }
    return false;
}

/* /proc/self/fd: the descriptors in use. */
static bool descriptor_entry(struct file *file, uint64_t index, struct directory_item *item)
{
    static char name[16];
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (descriptor_in_use(fd) && index-- == 0) {
            *item = (struct directory_item){ name, format(name, sizeof name, "%d", fd), (uint64_t)fd + 1, LINK_TYPE };
            return true;
        }
    return false;
}

static void directory_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 2, .mode = S_IFDIR | 0555, .links = 2 };
}

static const struct file_operations directory_operations = { .entry = directory_entry, .status = directory_status, .seekable = true };
static const struct file_operations descriptors_operations = { .entry = descriptor_entry, .status = directory_status, .seekable = true };

static struct file *open_text(size_t which, int flags, const char *path)
{
    char *scratch = kernel_alloc(TEXT_SIZE);
    struct text *text = scratch ? kernel_alloc(sizeof *text) : NULL;
    struct file *file = NULL;
    if (text) {
        text->length = texts[which].write(scratch, TEXT_SIZE);
        text->bytes = kernel_alloc(text->length + 1);
        if (text->bytes) {
            memcpy(text->bytes, scratch, text->length);
            file = file_create(&text_operations, text, flags, path);
        }
        if (!file) {
            kernel_free(text->bytes);
            kernel_free(text);
        }
    }
    kernel_free(scratch);
    return file;
}

struct file *procfs_open(const char *path, int flags, int64_t *error)
{
    char storage[PATH_LIMIT];
    const char *name = canonical(path, storage), *rest;
    struct file *file = NULL;
    bool found = false, directory = strcmp(name, "/proc") == 0 || strcmp(name, "/sys") == 0;
    *error = 0;
    if ((flags & O_ACCMODE) != O_RDONLY) {
        *error = -EACCES;
        return NULL;
    }
    for (size_t i = 0; i < TEXTS && !found; i++) {
        if (strcmp(name, texts[i].path) == 0) {
            found = true;
            file = open_text(i, flags, path);
        } else if (path_below(texts[i].path, name, &rest)) {
            directory = true;
        }
    }
    if (!found && (directory || strcmp(name, "/proc/self/fd") == 0)) {
        found = true;
        file = file_create(directory ? &directory_operations : &descriptors_operations, NULL, flags, path);
    }
    *error = !found ? -ENOENT : file ? 0 : -ENOMEM;
    return file;
}

int64_t procfs_readlink(const char *path, char *buffer, uint64_t size)
{
    char storage[PATH_LIMIT];
    const char *name = canonical(path, storage), *target = NULL, *rest;
    struct file *file = NULL;
    if (strcmp(name, "/proc/self/exe") == 0) {
        target = boot_info.program;
    } else if (strcmp(name, "/proc/self/cwd") == 0 || strcmp(name, "/proc/self/root") == 0) {
        target = "/";
    } else if (path_below(name, "/proc/self/fd", &rest) && *rest) {
        int fd = 0;
        for (const char *digit = rest + 1; *digit; digit++)
            fd = *digit >= '0' && *digit <= '9' && fd < DESCRIPTORS ? fd * 10 + (*digit - '0') : DESCRIPTORS;
        file = file_get(fd);
        target = file ? (file->path ? file->path : "anon_inode:[file]") : NULL;
    } else {
        return -EINVAL;
    }
    int64_t result = -ENOENT;
    if (target) {
        result = (int64_t)minimum(strlen(target), size);
        memcpy(buffer, target, (size_t)result);
    }
    file_put(file);
    return result;
}

int64_t procfs_status(const char *path, bool follow, struct udfvm_stat *stat)
{
    char target[PATH_LIMIT];
    int64_t error, length = procfs_readlink(path, target, sizeof target - 1);
    if (length > 0 && !follow) {
        *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 3, .size = (uint64_t)length, .mode = S_IFLNK | 0777, .links = 1 };
        return 0;
    }
    if (length > 0 && target[0] == '/') {
        target[length] = 0;
        return path_status(target, true, stat);
    }
    struct file *file = procfs_open(path, O_RDONLY, &error);
    if (!file)
        return error;
    file->operations->status(file, stat);
    file_put(file);
    return 0;
}
