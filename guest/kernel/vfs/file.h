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
    EVENT_PRIORITY = 0x002,
    EVENT_OUT = 0x004,
    EVENT_ERROR = 0x008,
    EVENT_HANG_UP = 0x010,
    EVENT_READ_END = 0x2000
}; /* poll(2) */
enum devices {
    DEVICE_MEMORY = 0x1001,
    DEVICE_DEVICES,
    DEVICE_PROCESS,
    DEVICE_STREAMS,
    DEVICE_DATA
}; /* st_dev of files that are not the host's */

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

#define UNCHANGED UINT32_MAX

/* A change of attributes. Unmarked attributes keep their values. */
struct attributes {
    bool set_mode, set_owner, set_accessed, set_modified;
    uint32_t mode;
    uint32_t user, group; /* UNCHANGED: as it is */
    struct timestamp accessed, modified;
};

/* An entry of a listing. A later listing continues at the position `next`. Positions 0 and 1 are
 * "." and "..". */
struct directory_item {
    const char *name;
    size_t length;
    uint64_t inode, next;
    uint8_t type;
};
typedef bool emit_function(
    void *sink,
    const struct directory_item *item); /* returns false to stop, if the item did not fit */

/* An operation is NULL if the kind does not support it. The caller passes the offset, which
 * streams ignore. */
struct file_operations {
    int64_t (*read)(struct file *file, uint64_t offset, void *buffer, uint64_t length);
    int64_t (*write)(struct file *file, uint64_t offset, const void *buffer, uint64_t length);
    int64_t (*truncate)(struct file *file, uint64_t size);
    int64_t (*punch)(struct file *file, uint64_t start, uint64_t end); /* makes a hole */
    int64_t (*list)(struct file *file, uint64_t position, emit_function *emit,
                    void *sink); /* only directories have it */
    int64_t (*change)(struct file *file,
                      const struct attributes *change); /* NULL: read-only file system */
    void (*status)(struct file *file, struct status *status);
    int (*events)(
        struct file *file); /* EVENT_ bits that are true now; NULL: always readable and writable */
    uint64_t (*activity)(struct file *file); /* changes with each event of the file */
    uint64_t (*available)(
        struct file *file); /* for streams: number of bytes that a read would return at once */
    /* For files whose vectors are not written one by one: a datagram is written as a whole. */
    int64_t (*move_vectors)(struct file *file, bool write, const struct io_vector *vectors,
                            uint64_t count);
    int64_t (*control)(struct file *file, uint32_t request, uint64_t argument); /* ioctl(2) */
    void (*release)(struct file *file);
    struct file_memory *(*memory)(struct file *file); /* what shared mappings are pages of */
    uint64_t (*place)(const struct file *file); /* where all of it lies in memory, read-only */
    bool seekable, constant;
    bool mappable; /* mmap(2) may copy what is read, or has the memory */
};

struct file {
    const struct file_operations *operations;
    uint32_t references : 30, locked : 1, ranged : 1; /* by flock(2); in parts */
    int flags; /* of open(2): access mode, O_APPEND, O_NONBLOCK, ... */
    uint64_t offset;
    void *object;          /* data of the kind */
    struct watch *watches; /* epoll sets that watch it: epoll.c */
    char *path;            /* absolute; NULL: none */
};

/* vfs.c */
extern const struct program_start *vfs_program;
uint64_t file_size(struct file *file);

/* size.c: RLIMIT_FSIZE. 0, or -EFBIG and SIGXFSZ; a write may get shorter. */
int64_t size_limit_write(uint64_t offset, uint64_t *length);
int64_t size_limit_growth(uint64_t old_size, uint64_t size);

/* attributes.c */
uint32_t permitted_mode(uint32_t mode); /* clears the bits of umask(2) */

/* descriptor.c */
struct file *file_create(const struct file_operations *operations, void *object, int flags,
                         const char *path);
int64_t descriptor_install(struct file *file, int lowest,
                           bool close_on_exec); /* takes the reference, even on error */
/* Gives two files descriptors, and writes those to the program's memory. It takes the references,
 * even on error. */
int64_t descriptors_install_pair(struct file *first, struct file *second, uint64_t descriptors,
                                 bool close_on_exec);
int64_t descriptor_close(int fd);
bool descriptor_in_use(int fd);
bool descriptor_is_left(void);
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
/* Writes a description such as "pipe:[7]" for a file without a path. */
size_t file_describe(struct file *file, char *buffer, size_t size);

/* input_output.c: these do what read(2) and write(2) do; the caller has checked the buffer */
int64_t file_read(struct file *file, void *buffer, uint64_t length);
int64_t file_write(struct file *file, const void *buffer, uint64_t length);

/* path.c */
/* How to resolve the last component. PATH_FOLLOW follows it if it is a link. PATH_NAME takes it
 * as a name to create or change, and never follows it. PATH_TELL returns PATH_ bits, like
 * PATH_NAME; without either, a path with a slash at its end must be a directory. */
enum { PATH_FOLLOW = 1, PATH_NAME = 2, PATH_TELL = 4 };
/* Bits that tell how a path was written: with a slash at its end; with "." or ".." as its last
 * component, or as "/". */
enum { PATH_SLASH = 1, PATH_DOTS = 2 };
/* Resolves a program's string, relative to a directory descriptor, to an absolute, normalised
 * path. Only the host's links are left in it. */
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
                     const char *target); /* a file of S_IF bits, or symbolic link to `target` */
int64_t overlay_remove(const char *path, bool directory);
/* With `directory` the source must be a directory: its path had a slash at its end. */
int64_t overlay_rename(const char *from, const char *to, bool replace, bool directory);
/* Two names exchange what they mean. As above, each may have to be a directory. */
int64_t overlay_exchange(const char *one, const char *other, bool directory, bool other_directory);
int64_t overlay_link(const char *from, const char *to);
int64_t overlay_change(const char *path, const struct attributes *change);
/* Lists the host's part of a directory that is in memory too, without the names that are in
 * memory. */
struct node;
int64_t overlay_list_host(const struct node *directory, const char *path, uint64_t position,
                          emit_function *emit, void *sink);
bool overlay_is_in_memory(
    const char *path); /* true if it exists and lies in a memory file system */

/* mounts.c */
void mounts_init(void);
/* Makes a directory writable, and creates it with all directories that lead to it. */
int64_t mount_memory(const char *path);

/* host_file.c, host_cache.c */
struct file *host_open(const char *path, int flags, int64_t *error);
int64_t host_status(const char *path, bool follow, struct status *status);
int64_t host_readlink(const char *path, char *buffer, uint64_t size);
/* Lists from `position` on. The first entry's position is `base`. */
int64_t host_list(const char *path, uint64_t base, uint64_t position, emit_function *emit,
                  void *sink);
/* Returns the error of opening a file of S_IF bits for what the flags say. */
int64_t host_check_flags(uint32_t mode, int flags);
void host_forget_handles(void); /* called before the host closes them all */

/* tmpfs.c */
struct file *tmpfs_anonymous(const char *name, int flags, int mode, bool sealable);
struct file *tmpfs_reopen(struct file *file, int flags,
                          int64_t *error); /* NULL without an error: not a file in memory */
int64_t tmpfs_link_file(struct file *file, const char *to);

/* seals.c: F_ADD_SEALS, F_GET_SEALS */
int64_t seals_add(struct file *file, uint64_t seals);
int64_t seals_get(const struct file *file);

/* locks.c */
int64_t lock_file(struct file *file, int operation); /* as flock(2) */
void locks_forget(const struct file *file);          /* called before the file is freed */

/* range_locks.c */
int64_t range_lock(struct file *file, int command, uint64_t address); /* F_SETLK, F_OFD_SETLK ... */
void range_locks_forget(const struct file *file); /* called before the file is freed */

/* device.c, stream.c, procfs.c */
struct file *device_open(const char *path, int flags, int64_t *error);
int64_t device_status(const char *path, bool follow, struct status *status);
int64_t device_readlink(const char *path, char *buffer, uint64_t size);
struct file *stream_open(int fd); /* standard input, output or error */
struct file *procfs_open(const char *path, int flags, int64_t *error);
int64_t procfs_status(const char *path, bool follow, struct status *status);
int64_t procfs_readlink(const char *path, char *buffer, uint64_t size);
/* Returns the open file that a path such as /proc/self/fd/7 names, with one more reference; NULL
 * if the path has another form, or the descriptor is closed. */
struct file *procfs_descriptor(const char *path);

/* epoll.c */
void watches_forget(struct file *file); /* called before the file is freed */

#endif
