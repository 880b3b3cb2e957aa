/* The end of the build phase: UDFVM_VECTOR_SEAL; and the beginning of a row: UDFVM_VECTOR_ROW. */
#include "arch/processor.h"
#include "host/clock.h"
#include "host/exit.h"
#include "host/hypercall.h"
#include "host/interrupt.h"
#include "host/log.h"
#include "host/random.h"
#include "host/seal_info.h"
#include "mm/alloc.h"
#include "mm/regions.h"
#include "mm/report.h"
#include "mm/scratch.h"
#include "sched/timer.h"
#include "signal/signal.h"
#include "syscall/dispatch.h"
#include "vfs/vfs.h"

void seal(void); /* entry.S */
void row(void);  /* entry.S */

static uint8_t *area; /* XSAVE image of the thread that sealed */

/* The host records memory and general registers at the `out`. A call continues at the label behind
 * it. General registers are as they are here, except RAX and RDX; the vector state and bases of
 * `seal_info` are loaded. */
static void seal_here(void)
{
    uint64_t number = UDFVM_HYPERCALL_SEAL, address = (uint64_t)&seal_info;
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
    log_flush();
    vfs_prepare_seal();
    interval_timers_forget(); /* as in a child */
    posix_timers_forget();
    timers_prepare_seal();
    if (!area)
        area = page_alloc((xsave_size() + PAGE_MASK) / PAGE_SIZE);
    if (!area)
        kernel_panic("no memory for the vector state of the seal");
    memory_prepare_seal();
    scratch_prepare_seal();
    regions_begin_peak();
    memory_statistics(&statistics);
    seal_info.memory_used = statistics.used;
    seal_info.syscalls = system_calls_served();
    seal_info.trapped = system_calls_trapped();
    seal_info.xsave_area = (uint64_t)area;
    seal_info.xsave_length = xsave_size();
    seal_info.fs_base = get_fs_base();
    seal_info.gs_base = get_gs_base();
    clock_prepare_seal();
    random_prepare_seal();
    interrupt_hold();
    xsave(area);
    seal_here();
    random_begin_call();
    threads_begin_call();
}

void row(void)
{
    if (!clock_is_fixed())
        return;
    clock_begin_row();
    random_begin_row();
    threads_begin_row();
}
