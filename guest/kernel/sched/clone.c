/* Creates and ends threads. */
#include "arch/processor.h"
#include "host/exit.h"
#include "host/seal_info.h"
#include "lib/string.h"
#include "mm/report.h"
#include "mm/user.h"
#include "sched/futex.h"
#include "sched/thread.h"

#include <linux/sched.h>

/* Each call of a sealed image looks to the program like a forked child. With this flag the next
 * fork() makes the program that child, so libraries do once what they do in a child, such as
 * dropping kept random numbers. The C library assumes that a child has one thread, so no others
 * may exist. */
static bool child_to_come;

void thread_expect_child(void)
{
    child_to_come = true;
}

static int64_t become_child(uint64_t flags, uint64_t child_id)
{
    if (thread_count() > 1)
        return -EAGAIN;
    if ((flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) &&
        !user_range_ok(child_id, sizeof(int32_t)))
        return -EFAULT;
    if (flags & CLONE_CHILD_SETTID)
        *(int32_t *)child_id = current_tid();
    if (flags & CLONE_CHILD_CLEARTID)
        current->clear_id_address = child_id;
    return 0;
}

/* The arguments of clone(2) and clone3(2). */
struct clone_request {
    uint64_t flags, stack, parent_id, child_id, tls;
};

static int64_t check_request(const struct clone_request *request)
{
    const uint64_t child_flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    if ((request->flags & CLONE_PARENT_SETTID) &&
        !user_range_ok(request->parent_id, sizeof(int32_t)))
        return -EFAULT;
    if ((request->flags & child_flags) && !user_range_ok(request->child_id, sizeof(int32_t)))
        return -EFAULT;
    return (request->flags & CLONE_SETTLS) && request->tls >= ADDRESS_LIMIT ? -EPERM : 0;
}

static int64_t clone_thread(const struct clone_request *request)
{
    const uint64_t flags = request->flags;
    int64_t error = check_request(request);
    if (error)
        return error;
    struct thread *child = thread_create();
    if (!child)
        return -EAGAIN;
    child->user = current->user;
    child->user.rax = 0;
    if (request->stack)
        child->user.rsp = request->stack;
    child->fs_base = flags & CLONE_SETTLS ? request->tls : get_fs_base();
    child->gs_base = get_gs_base();
    child->blocked = current->blocked;
    memcpy(child->name, current->name, sizeof child->name);
    xsave(child->xsave_area);
    if (flags & CLONE_PARENT_SETTID)
        *(int32_t *)request->parent_id = child->id;
    if (flags & CLONE_CHILD_SETTID)
        *(int32_t *)request->child_id = child->id;
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_id_address = request->child_id;
    thread_start(child);
    return child->id;
}

/* Creates a thread. The only process it can create is the expected child. */
static int64_t clone_anything(const struct clone_request *request)
{
    const uint64_t needed = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, flags = request->flags;
    if (!(flags & (CLONE_VM | CLONE_VFORK)) && child_to_come) {
        child_to_come = false;
        return become_child(flags, request->child_id);
    }
    if ((flags & needed) != needed || (flags & CLONE_VFORK)) {
        count_unknown(current->call_number); /* the kernel has one process */
        return -ENOSYS;
    }
    return clone_thread(request);
}

SYSTEM_CALL(clone)
{
    return clone_anything(
        &(struct clone_request){ .flags = a, .stack = b, .parent_id = c, .child_id = d, .tls = e });
}

SYSTEM_CALL(fork)
{
    return clone_anything(&(struct clone_request){ .flags = 0 });
}

SYSTEM_CALL(clone3)
{
    struct clone_args arguments = { .flags = 0 };
    if (b < CLONE_ARGS_SIZE_VER0 || b > PAGE_SIZE)
        return -EINVAL;
    if (!user_range_ok(a, b))
        return -EFAULT;
    memcpy(&arguments, (const void *)a, minimum(b, sizeof arguments));
    return clone_anything(&(struct clone_request){ .flags = arguments.flags,
                                                   .stack = arguments.stack + arguments.stack_size,
                                                   .parent_id = arguments.parent_tid,
                                                   .child_id = arguments.child_tid,
                                                   .tls = arguments.tls });
}

static noreturn void process_exit(int status)
{
    struct udfvm_crash crash = { .rip = 0 };
    memory_describe_refusal(crash.text, sizeof crash.text);
    crash.text_length = (uint32_t)strlen(crash.text);
    host_exit(UDFVM_EXIT_STATUS, (uint64_t)(status & 0xff), &crash);
}

static noreturn void thread_exit(int status)
{
    struct thread *self = current;
    if (thread_count() == 1)
        process_exit(status);
    futex_owner_ended(); /* first: what is handed over is another thread's */
    robust_locks_release(self);
    const uint64_t id_address = self->clear_id_address;
    self->clear_id_address = 0;
    if (id_address && user_range_ok(id_address, sizeof(int32_t))) {
        *(int32_t *)id_address = 0;
        futex_wake(id_address, 1);
    }
    thread_leave();
}

SYSTEM_CALL(exit)
{
    thread_exit((int)a);
}

SYSTEM_CALL(exit_group)
{
    process_exit((int)a);
}

SYSTEM_CALL(sched_yield)
{
    thread_yield();
    return 0;
}

SYSTEM_CALL(gettid)
{
    return current_tid();
}

SYSTEM_CALL(set_tid_address)
{
    current->clear_id_address = a;
    return current_tid();
}
