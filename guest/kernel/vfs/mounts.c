/* The mount points of memory file systems, and the directories that lead to them. */
#include "host/exit.h"
#include "lib/string.h"
#include "vfs/tmpfs.h"

static const char *const mounts[] = { "/tmp", "/var/tmp", "/dev/shm", "/run" };
static const char *const fixed_directories[] = {
    "/proc", "/sys", "/etc"
}; /* procfs.c has contents of the first two, which are here for the listing of "/" */

/* Creates a directory and all that lead to it. Returns 0 or a negative errno. */
static int64_t make_fixed(const char *path, bool mount)
{
    char prefix[MAX_PATH];
    const char *name;
    for (size_t length = 1; path[length - 1]; length++) {
        int64_t error;
        if (path[length] && path[length] != '/')
            continue;
        memcpy(prefix, path, length);
        prefix[length] = 0;
        struct node *node = node_find(prefix, &error);
        struct node *directory = node_parent(prefix, &name, &error);
        if (!node && directory) {
            node = node_create(S_IFDIR | 0755);
            error = entry_add_new(directory, name, node);
            if (error)
                return error;
            node->writable = directory->writable;
            node->overlaps = true;
        }
        if (!node || !node_is(node, S_IFDIR))
            return -ENOTDIR;
        if (mount && !path[length]) {
            node->writable = true;
            node->mode = S_IFDIR | S_ISVTX | 0777;
        }
    }
    return 0;
}

int64_t mount_memory(const char *path)
{
    return path[1] ? make_fixed(path, true) : -EBUSY;
}

static void make_at_boot(const char *path, bool mount)
{
    if (make_fixed(path, mount))
        kernel_panic("no memory for the file system");
}

/* The home directory is in memory too, because programs keep caches and settings there. */
static const char *home_directory(void)
{
    char path[MAX_PATH];
    for (int i = 0; i < vfs_program->envc; i++)
        if (strncmp(vfs_program->envp[i], "HOME=/", 6) == 0 &&
            strlen(vfs_program->envp[i]) < MAX_PATH &&
            path_resolve("/", vfs_program->envp[i] + 5, 0, path) == 0 &&
            strcmp(path, vfs_program->envp[i] + 5) == 0)
            return vfs_program->envp[i] + 5;
    return NULL;
}

void mounts_init(void)
{
    tree_init();
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
        make_at_boot(mounts[i], true);
    for (size_t i = 0; i < sizeof fixed_directories / sizeof *fixed_directories; i++)
        make_at_boot(fixed_directories[i], false);
    etc_files_init();
    const char *home = home_directory();
    if (home && home[1])
        make_at_boot(home, true);
}
