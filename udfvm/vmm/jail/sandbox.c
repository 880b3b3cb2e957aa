/* The walls around a jailed VM's process but for the filter of system calls, the last of them. Each
 * is one more than the others would need: where the system does not permit one, the rest stand. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "jail.h"

#define FIRST_USER 0x70000000u /* no system gives such numbers to people or services */
#define NOBODY     65534u
#define MAX_FDS    1024u
#define MAX_TASKS  64u

/* An empty, read-only file system becomes the root, and the old one goes: mount_namespaces(7), and
 * pivot_root(2) on why both paths may be ".". It is mounted over any directory that exists: "/"
 * itself cannot be left for what lies over it. */
static bool leave_files(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("udfvm-jail", "/dev", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "size=4k,nr_inodes=1,mode=0555") == 0 &&
           chdir("/dev") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
           umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

/* A user that owns nothing, if this one is root: credentials(7). Another than that of any other
 * VM's process, where the namespace has so many numbers. */
static bool become_nobody(void)
{
    if (geteuid() != 0 || setgroups(0, NULL) < 0)
        return false;
    const unsigned candidates[] = { FIRST_USER + (unsigned)getpid(), NOBODY };
    for (int i = 0; i < 2; i++)
        if (setresgid(candidates[i], candidates[i], candidates[i]) == 0)
            return setresuid(candidates[i], candidates[i], candidates[i]) == 0;
    return false;
}

static bool limit(int resource, uint64_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) < 0)
        return false;
    const rlim_t value = most < now.rlim_max ? most : now.rlim_max;
    return setrlimit(resource, &(struct rlimit){ value, value }) == 0;
}

static bool set_limits(const struct jail_control *control, bool own_user)
{
    return limit(RLIMIT_CORE, 0) && limit(RLIMIT_NOFILE, MAX_FDS) &&
           limit(RLIMIT_FSIZE, control->file_size) && limit(RLIMIT_AS, control->address_space) &&
           limit(RLIMIT_MEMLOCK, 0) && limit(RLIMIT_MSGQUEUE, 0) &&
           (!own_user || limit(RLIMIT_NPROC, MAX_TASKS)); /* it counts those of the user */
}

/* capabilities(7): also those that root has in a user namespace. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    const struct __user_cap_data_struct none[2] = { { .effective = 0 } };
    return syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

int build_walls(const struct jail_control *control, pid_t parent, unsigned *walls,
                struct udfvm_error *error)
{
    if (leave_files())
        *walls |= UDFVM_WALL_FILES;
    const bool own_user = become_nobody();
    if (own_user)
        *walls |= UDFVM_WALL_USER;
    if (!drop_capabilities())
        return udfvm_fail_errno(error, "giving up privileges");
    /* Another user is another dumpability and no signal at the parent's end: prctl(2). */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return udfvm_fail_errno(error, "prctl");
    if (getppid() != parent)
        return udfvm_fail(error, UDFVM_E_JAIL, "the warden has ended");
    if (!set_limits(control, own_user))
        return udfvm_fail_errno(error, "setting limits of a process");
    *walls |= UDFVM_WALL_PRIVILEGES | UDFVM_WALL_LIMITS;
    return UDFVM_OK;
}
