/* Memory that a program and the process of a jailed VM share: memfd_create(2), fcntl(2) on seals.
 */
#include "jail/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"

int udfvm_jail_file(const char *name, uint64_t bytes, int *file, struct udfvm_error *error)
{
    const int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return udfvm_fail_errno(error, "making a file of memory");
    if (ftruncate(made, (off_t)bytes) < 0 ||
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        udfvm_fail_errno(error, "making a file of %s of memory", udfvm_format_size(bytes).text);
        close(made);
        return UDFVM_E_SYSTEM;
    }
    *file = made;
    return UDFVM_OK;
}

int udfvm_jail_copy(const char *name, const void *content, uint64_t bytes, int *file,
                    struct udfvm_error *error)
{
    int made = -1;
    UDFVM_TRY(udfvm_jail_file(name, bytes, &made, error));
    if (write(made, content, bytes) != (ssize_t)bytes) {
        udfvm_fail_errno(error, "copying to a file of %s of memory", udfvm_format_size(bytes).text);
        close(made);
        return UDFVM_E_SYSTEM;
    }
    *file = made;
    return UDFVM_OK;
}

int udfvm_jail_map(int file, uint64_t bytes, void **mapped, struct udfvm_error *error)
{
    uint8_t *room = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return udfvm_fail_errno(error, "reserving addresses");
    const uint64_t head = (HUGE_PAGE - (uintptr_t)room % HUGE_PAGE) % HUGE_PAGE,
                   end = (bytes + PAGE - 1) / PAGE * PAGE;
    if (head)
        munmap(room, head);
    munmap(room + head + end, HUGE_PAGE - head);
    if (mmap(room + head, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) ==
        MAP_FAILED) {
        udfvm_fail_errno(error, "mapping a file of memory");
        munmap(room + head, end);
        return UDFVM_E_SYSTEM;
    }
    madvise(room + head, bytes, MADV_DONTFORK);
    madvise(room + head, bytes, MADV_HUGEPAGE);
    *mapped = room + head;
    return UDFVM_OK;
}
