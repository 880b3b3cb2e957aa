/* Extended attributes. No file system here supports them. Programs that copy files expect this
 * error. */
#include "vfs/file.h"

static int64_t by_path(uint64_t string, bool follow)
{
    char path[MAX_PATH];
    struct status status;
    int64_t result = path_from_program(AT_FDCWD, string, follow ? PATH_FOLLOW : 0, path);
    if (result == 0)
        result = path_status(path, follow, &status);
    return result ? result : -EOPNOTSUPP;
}

SYSTEM_CALL(setxattr)
{
    return by_path(a, true);
}
SYSTEM_CALL_ALIAS(getxattr, setxattr);
SYSTEM_CALL_ALIAS(listxattr, setxattr);
SYSTEM_CALL_ALIAS(removexattr, setxattr);
SYSTEM_CALL(lsetxattr)
{
    return by_path(a, false);
}
SYSTEM_CALL_ALIAS(lgetxattr, lsetxattr);
SYSTEM_CALL_ALIAS(llistxattr, lsetxattr);
SYSTEM_CALL_ALIAS(lremovexattr, lsetxattr);
SYSTEM_CALL(fsetxattr)
{
    return descriptor_in_use((int)a) ? -EOPNOTSUPP : -EBADF;
}
SYSTEM_CALL_ALIAS(fgetxattr, fsetxattr);
SYSTEM_CALL_ALIAS(flistxattr, fsetxattr);
SYSTEM_CALL_ALIAS(fremovexattr, fsetxattr);
