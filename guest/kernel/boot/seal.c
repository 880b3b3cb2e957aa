/* The end of the build phase, and of every call. */
#include "arch/clock.h"
#include "arch/hypercall.h"
#include "mm/memory.h"
#include "lib/random.h"
#include "boot/seal.h"
#include "sched/thread.h"
#include "vfs/vfs.h"

static struct udfvm_seal_info info;
static uint8_t *area; /* XSAVE image of the thread that sealed */

void count_unknown(uint64_t number)
{
    uint32_t index = 0;
    while (index < info.unknown_count && info.unknown[index].number != (uint32_t)number)
        index++;
    if (index == UDFVM_MAX_UNKNOWN_SYSCALLS)
        return;
    if (index == info.unknown_count)
        info.unknown[info.unknown_count++].number = (uint32_t)number;
    info.unknown[index].count++;
}

/* The host records memory and general registers at the `out`; a call continues at the label behind
 * it, general registers as they are here but for RAX and RDX, with the vector state and bases of
 * `info` loaded. */
static void seal_here(void)
{
    uint64_t number = UDFVM_HYPERCALL_SEAL, address = (uint64_t)&info;
    __asm__ volatile("leaq 1f(%%rip), %%rcx\n\t"
                     "movq %%rcx, %c3(%%rdi)\n\t"
                     "outb %%al, %2\n"
                     "1:"
                     : "+a"(number), "+D"(address)
                     : "N"(UDFVM_PORT), "i"(offsetof(struct udfvm_seal_info, resume_rip))
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory");
}

void seal(void)
{
    struct memory_statistics statistics;
    vfs_prepare_seal();
    if (!area)
        area = page_alloc((xsave_size() + PAGE_MASK) / PAGE_SIZE);
    if (!area)
        kernel_panic("no memory for the vector state of the seal");
    memory_prepare_seal();
    scratch_prepare_seal();
    memory_statistics(&statistics);
    info.memory_used = statistics.used;
    info.syscalls = system_calls_served();
    info.trapped = system_calls_trapped();
    info.xsave_area = (uint64_t)area;
    info.xsave_length = xsave_size();
    info.fs_base = get_fs_base();
    info.gs_base = get_gs_base();
    clock_prepare_seal();
    random_prepare_seal();
    xsave(area);
    seal_here();
}

void row(void)
{
    if (!clock_is_fixed())
        return;
    clock_begin_row();
    random_begin_row();
    threads_begin_row();
}

/* Answers over the ring and waits there for the next request; exits where none comes. */
static void exchange(const struct udfvm_call *call, uint64_t status, uint64_t length)
{
    struct udfvm_stream_reply *reply = (struct udfvm_stream_reply *)call->stream_reply;
    const uint64_t number = __atomic_load_n(&call->stream_request, __ATOMIC_RELAXED);
    reply->status = (uint32_t)status;
    reply->length = length;
    __atomic_store_n(&reply->number, number, __ATOMIC_RELEASE);
    for (uint64_t start = time_stamp();
         __atomic_load_n(&call->stream_request, __ATOMIC_ACQUIRE) == number;) {
        if (time_stamp() - start > call->stream_spin) {
            hypercall(UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IDLE, 0, 0, 0, 0);
            start = time_stamp();
        }
        __builtin_ia32_pause();
    }
}

void complete(uint64_t status, uint64_t length)
{
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    vfs_flush();
    if (call->stream_reply)
        exchange(call, status, length);
    else
        hypercall(UDFVM_HYPERCALL_COMPLETE, status, length, 0, 0, 0);
}
