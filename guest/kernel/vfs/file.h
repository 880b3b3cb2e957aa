/* Open files: descriptors refer to them, and each kind of file implements their operations. For use
 * inside the file system only. */
#ifndef UDFVM_FILE_H
#define UDFVM_FILE_H

#include "vfs/vfs.h"

#include <linux/fcntl.h>
#include <linux/stat.h>

#define DESCRIPTORS    1024
#define MAX_PATH       4096u /* bytes, the NUL included */
#define MAX_NAME       255u  /* bytes of one component of a path */
#define MAX_IO_VECTORS 1024u
#define MAX_LINKS      40u /* symbolic links followed on the way to one file */

enum entry_type {
    TYPE_FIFO = 1,
    TYPE_CHARACTER = 2,
    TYPE_DIRECTORY = 4,
    TYPE_REGULAR = 8,
    TYPE_LINK = 10,
    TYPE_SOCKET = 12
}; /* d_type */
enum events {
    EVENT_IN = 0x001,
    EVENT_OUT = 0x004,
    EVENT_ERROR = 0x008,
    EVENT_HANG_UP = 0x010,
    EVENT_READ_END = 0x2000
}; /* poll(2) */
enum devices {
    DEVICE_MEMORY = 0x1001,
    DEVICE_DEVICES,
    DEVICE_PROCESS,
    DEVICE_STREAMS
}; /* st_dev of what is not the host's */

struct io_vector { /* struct iovec of a program */
    uint64_t base, length;
};

struct timestamp {
    int64_t seconds;
    uint32_t nanoseconds;
};

/* The data of stat(2). */
struct status {
    uint64_t device, inode, size, special; /* special: st_rdev */
    uint32_t mode, links, uid, gid;
    struct timestamp accessed, modified, changed;
};

/* A change of attributes. Attributes that are not marked stay. */
struct attributes {
    bool set_mode, set_accessed, set_modified;
    uint32_t mode;
    struct timestamp accessed, modified;
};

/* `next`: the position behind it, from which a later listing goes on. Positions 0 and 1 are "." and
 * "..". */
struct directory_item {
    const char *name;
    size_t length;
    uint64_t inode, next;
    uint8_t type;
};
typedef bool emit_function(void *sink,
                           const struct directory_item *item); /* false: it did not fit, stop */

/* Each may be NULL where the operation does not apply to the kind. Offsets are the caller's:
 * streams ignore them. */
struct file_operations {
    int64_t (*read)(struct file *file, uint64_t offset, void *buffer, uint64_t length);
    int64_t (*write)(struct file *file, uint64_t offset, const void *buffer, uint64_t length);
    int64_t (*truncate)(struct file *file, uint64_t size);
    int64_t (*list)(struct file *file, uint64_t position, emit_function *emit,
                    void *sink); /* of directories, and only of them */
    int64_t (*change)(struct file *file,
                      const struct attributes *change); /* NULL: read-only file system */
    void (*status)(struct file *file, struct status *status);
    int (*events)(
        struct file *file); /* EVENT_ bits that hold now; NULL: always readable and writable */
    uint64_t (*activity)(
        struct file *file); /* differs from before where something happened to a file with events */
    uint64_t (*available)(struct file *file); /* streams: bytes that can be read at once */
    void (*release)(struct file *file);
    bool seekable, constant, socket;
};

struct file {
    const struct file_operations *operations;
    uint32_t references;
    int flags; /* of open(2): access mode, O_APPEND, O_NONBLOCK, ... */
    uint64_t offset;
    void *object;          /* of the kind */
    struct watch *watches; /* epoll.c: sets that wait for it */
    char *path;            /* absolute; NULL: none */
};

/* vfs.c */
extern const struct program_start *vfs_program;
uint64_t file_size(struct file *file);

/* attributes.c */
uint32_t permitted_mode(uint32_t mode); /* without the bits of umask(2) */

/* descriptor.c */
struct file *file_create(const struct file_operations *operations, void *object, int flags,
                         const char *path);
int64_t descriptor_install(struct file *file, int lowest,
                           bool close_on_exec); /* takes the reference, also when it fails */
int64_t descriptor_close(int fd);
bool descriptor_in_use(int fd);
static inline bool file_readable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_WRONLY;
}
static inline bool file_writable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_RDONLY;
}
static inline bool file_is_directory(const struct file *file)
{
    return file->operations->list != NULL;
}
static inline bool status_is(const struct status *status, uint32_t type)
{
    return (status->mode & S_IFMT) == type;
}
int file_events(struct file *file);
struct timestamp timestamp_now(void);
/* "pipe:[7]" and the like, for a file without a path. */
size_t file_describe(struct file *file, char *buffer, size_t size);

/* input_output.c: as read(2) and write(2), the buffer already checked */
int64_t file_read(struct file *file, void *buffer, uint64_t length);
int64_t file_write(struct file *file, const void *buffer, uint64_t length);

/* path.c */
/* How to take the last component: follow it if it is a link; or take it as a name to be made or
 * changed, which is never followed. TELL: returns how the path was written, as NAME does, rather
 * than to insist that what has a slash behind it is a directory. */
enum { PATH_FOLLOW = 1, PATH_NAME = 2, PATH_TELL = 4 };
/* How it was written, bits: with a slash behind it; with "." or ".." as its last component, or as
 * "/". */
enum { PATH_SLASH = 1, PATH_DOTS = 2 };
/* Absolute, normalised path of a program's string, seen from a directory descriptor. Only links of
 * the host are left in it. */
int64_t path_from_program(int directory, uint64_t string, unsigned how, char path[MAX_PATH]);
int64_t path_resolve(const char *base, const char *text, unsigned how, char path[MAX_PATH]);
bool path_below(const char *path, const char *directory, const char **rest);
size_t path_parent(const char *path,
                   char parent[MAX_PATH]); /* offset of the last component in `path` */
int64_t path_status(const char *path, bool follow, struct status *status);
int64_t path_readlink(const char *path, char *buffer, uint64_t size);
const char *path_working_directory(void);

/* overlay.c: files in memory over files of the host */
struct file *overlay_open(const char *path, int flags, int mode, int64_t *error);
int64_t overlay_status(const char *path, bool follow, struct status *status);
int64_t overlay_readlink(const char *path, char *buffer, uint64_t size);
bool overlay_is_link_in_memory(const char *path);
int64_t overlay_make(const char *path, uint32_t mode,
                     const char *target); /* directory, or symbolic link to `target` */
int64_t overlay_remove(const char *path, bool directory);
/* `directory`: it must be one; it was written with a slash behind it. */
int64_t overlay_rename(const char *from, const char *to, bool replace, bool directory);
int64_t overlay_link(const char *from, const char *to);
int64_t overlay_change(const char *path, const struct attributes *change);
/* What the host has in a directory that is also in memory, without the names that are in memory
 * too. */
struct node;
int64_t overlay_list_host(const struct node *directory, const char *path, uint64_t position,
                          emit_function *emit, void *sink);
bool overlay_is_in_memory(const char *path); /* it is there, and lies in a memory file system */

/* mounts.c */
void mounts_init(void);
/* Names can be made there from now on; it is made too, with what leads to it. */
int64_t mount_memory(const char *path);

/* host_file.c, host_cache.c */
struct file *host_open(const char *path, int flags, int64_t *error);
int64_t host_status(const char *path, bool follow, struct status *status);
int64_t host_readlink(const char *path, char *buffer, uint64_t size);
/* From a position on; the first entry is at the position `base`. */
int64_t host_list(const char *path, uint64_t base, uint64_t position, emit_function *emit,
                  void *sink);
void host_forget_handles(void); /* the host is about to close them all */

/* tmpfs.c */
struct file *tmpfs_anonymous(const char *name, int flags, int mode);
struct file *tmpfs_reopen(struct file *file, int flags,
                          int64_t *error); /* NULL and no error: not a file in memory */
int64_t tmpfs_link_file(struct file *file, const char *to);

/* device.c, stream.c, procfs.c */
struct file *device_open(const char *path, int flags, int64_t *error);
int64_t device_status(const char *path, bool follow, struct status *status);
int64_t device_readlink(const char *path, char *buffer, uint64_t size);
struct file *stream_open(int fd); /* standard input, output or error */
struct file *procfs_open(const char *path, int flags, int64_t *error);
int64_t procfs_status(const char *path, bool follow, struct status *status);
int64_t procfs_readlink(const char *path, char *buffer, uint64_t size);
/* The open file that a path of the form /proc/self/fd/7 means, with one more reference; NULL: the
 * path is none, or it is closed. */
struct file *procfs_descriptor(const char *path);

/* epoll.c */
void watches_forget(struct file *file); /* it is about to be freed */

#endif
