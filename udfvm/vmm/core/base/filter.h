/* Filters of system calls: seccomp(2). A filter is made from a table, and what is not in the table
 * is refused. */
#ifndef UDFVM_BASE_FILTER_H
#define UDFVM_BASE_FILTER_H

#include <stddef.h>
#include <stdint.h>

struct udfvm_error;

/* Which calls of a number are let through. */
enum filter_check {
    FILTER_ANY,
    FILTER_KNOWN_REQUEST, /* ioctl: what the filter knows */
    FILTER_NOT_EXECUTABLE,
    FILTER_OWN_THREAD,  /* clone: a thread of this process */
    FILTER_OWN_PROCESS, /* tgkill */
    FILTER_DUPLICATE,   /* fcntl: a descriptor of the same */
    FILTER_ONLY_LOOKS,  /* prlimit64: without a new limit */
    FILTER_ABSENT, /* as on a kernel that has it not: glibc does without, unlike for the others */
};
struct filter_rule {
    uint32_t number;
    enum filter_check check;
};
struct filter {
    const struct filter_rule *rules; /* in the order of how often calls are made */
    size_t count;
    const uint32_t *requests; /* of ioctl */
    size_t request_count;
    uint32_t refusal; /* what becomes of all others: SECCOMP_RET_... */
};
/* From now on the filter stands around this thread, and around those that it starts. The thread has
 * given up new privileges, or has CAP_SYS_ADMIN. */
int udfvm_filter_install(const struct filter *filter, struct udfvm_error *error);

#endif
