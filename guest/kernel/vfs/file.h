/* Open files: what descriptors refer to, and what each kind of file implements. */
#ifndef UDFVM_FILE_H
#define UDFVM_FILE_H

#include <linux/fcntl.h>
#include <linux/stat.h>

#include "vfs.h"

#define DESCRIPTORS 1024
#define DIRECTORY_TYPE 4u                        /* d_type values: DT_DIR, DT_REG, DT_LNK, DT_CHR */
#define REGULAR_TYPE 8u
#define LINK_TYPE 10u
#define CHARACTER_TYPE 2u
#define EVENT_IN 0x001                           /* poll(2) */
#define EVENT_OUT 0x004
#define EVENT_ERROR 0x008
#define EVENT_HANG_UP 0x010

struct directory_item { const char *name; size_t length; uint64_t inode; uint8_t type; };

/* Each may be NULL: then the operation does not apply to the kind. Offsets are the caller's: streams ignore them. */
struct file_operations {
    int64_t (*read)(struct file *file, uint64_t offset, void *buffer, uint64_t length);
    int64_t (*write)(struct file *file, uint64_t offset, const void *buffer, uint64_t length);
    int64_t (*truncate)(struct file *file, uint64_t size);
    bool (*entry)(struct file *file, uint64_t index, struct directory_item *item);    /* directories; false: no more */
    void (*status)(struct file *file, struct udfvm_stat *stat);
    int (*events)(struct file *file);            /* EVENT_ bits that hold now; NULL: always readable and writable */
    void (*release)(struct file *file);
    bool seekable;
    bool constant;
};

struct file {
    const struct file_operations *operations;
    uint32_t references;
    int flags;                                   /* of open(2): access mode, O_APPEND, O_NONBLOCK, ... */
    uint64_t offset;
    void *object;                                /* of the kind */
    uint64_t cookie;                             /* of the kind */
    char *path;                                  /* absolute; NULL: none */
};

/* descriptor.c */
struct file *file_create(const struct file_operations *operations, void *object, int flags, const char *path);
int64_t descriptor_install(struct file *file, int lowest, bool close_on_exec);    /* takes the reference, also when it fails */
bool descriptor_in_use(int fd);
static inline bool file_readable(const struct file *file) { return (file->flags & O_ACCMODE) != O_WRONLY; }
static inline bool file_writable(const struct file *file) { return (file->flags & O_ACCMODE) != O_RDONLY; }
int file_events(struct file *file);

/* path.c */
/* Absolute, normalised path of a program's string, seen from a directory descriptor. */
int64_t path_from_program(int directory, uint64_t string, char path[PATH_LIMIT]);
int64_t path_normalise(const char *base, const char *relative, char path[PATH_LIMIT]);
bool path_below(const char *path, const char *directory, const char **rest);
int64_t path_status(const char *path, bool follow, struct udfvm_stat *stat);
int64_t path_readlink(const char *path, char *buffer, uint64_t size);

/* host_file.c, host_cache.c */
struct file *host_open(const char *path, int flags, int64_t *error);
int64_t host_status(const char *path, bool follow, struct udfvm_stat *stat);
int64_t host_readlink(const char *path, char *buffer, uint64_t size);
void host_forget_handles(void);
int64_t cached_status(const char *path, struct udfvm_stat *stat);                 /* 1: not known */
void cache_status(const char *path, int64_t result, const struct udfvm_stat *stat);
struct listing { char *entries; size_t length; };                                 /* struct udfvm_directory_entry, one after the other */
const struct listing *cached_listing(const char *directory, int64_t *error);
bool known_absent(const char *path);

/* tmpfs.c, tmpfs_tree.c */
bool tmpfs_covers(const char *path);
struct file *tmpfs_open(const char *path, int flags, int mode, int64_t *error);
struct file *tmpfs_anonymous(const char *name, int flags);
int64_t tmpfs_status(const char *path, bool follow, struct udfvm_stat *stat);
int64_t tmpfs_readlink(const char *path, char *buffer, uint64_t size);
int64_t tmpfs_make(const char *path, uint32_t mode, const char *target);          /* directory, or link to `target` */
int64_t tmpfs_remove(const char *path, bool directory);
int64_t tmpfs_rename(const char *from, const char *to, bool replace);
int64_t tmpfs_link(const char *from, const char *to);
int64_t tmpfs_change(const char *path, int32_t mode);                             /* -1: leaves it; sets the time */
void tmpfs_init(void);

/* device.c, procfs.c */
struct file *device_open(const char *path, int flags, int64_t *error);
int64_t device_status(const char *path, struct udfvm_stat *stat);
struct file *standard_stream(int fd);
void standard_streams_flush(void);
bool procfs_covers(const char *path);
struct file *procfs_open(const char *path, int flags, int64_t *error);
int64_t procfs_status(const char *path, bool follow, struct udfvm_stat *stat);
int64_t procfs_readlink(const char *path, char *buffer, uint64_t size);

#endif
