/* The guest kernel: what its parts offer each other. The file system half is in vfs/vfs.h.
 *
 * One address space, one processor, no interrupts: the kernel is a library at ring 3 that the
 * program enters by `syscall`, by an exception or by a call. Nothing runs concurrently; a thread
 * gives way only in block_until() and where a system call returns.
 */
#ifndef UDFVM_KERNEL_H
#define UDFVM_KERNEL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include <linux/errno.h>
#include <sys/syscall.h>

#include "udfvm_abi.h"

#define PAGE_SIZE  4096ull
#define PAGE_MASK  (PAGE_SIZE - 1)
#define PATH_LIMIT 4096u

#define NANOSECONDS 1000000000ull
#define NO_DEADLINE UINT64_MAX

/* Every system call has the same shape: six arguments, a value or a negative errno. */
#define SYSCALL(name) \
    int64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
typedef int64_t syscall_function(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                                 uint64_t f);

/* Mutable state that system calls touch again and again lies together: each dirtied page is one
 * more to restore after a call. */
#define HOT_DATA __attribute__((section(".hot")))

static inline uint64_t page_up(uint64_t value)
{
    return (value + PAGE_MASK) & ~PAGE_MASK;
}
static inline uint64_t page_down(uint64_t value)
{
    return value & ~PAGE_MASK;
}
static inline uint64_t minimum(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}
static inline uint64_t maximum(uint64_t x, uint64_t y)
{
    return x > y ? x : y;
}

/* ---- string.c ---- */
void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *left, const void *right, size_t length);
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t length);
/* As snprintf, for %s %c %d %u %x with the modifiers l, ll, z, a width and a leading 0; %%. Returns
 * what was written, without the NUL: at most size - 1. */
size_t format(char *buffer, size_t size, const char *pattern, ...)
    __attribute__((format(printf, 3, 4)));
size_t format_list(char *buffer, size_t size, const char *pattern, va_list arguments);

/* ---- alloc.c ---- */
void *kernel_alloc(size_t bytes); /* zeroed, aligned to 16 bytes; NULL when memory is out */
void kernel_free(void *p);        /* NULL is allowed */

/* ---- memory.c, memory_calls.c: program memory ---- */
void *page_alloc(size_t pages); /* zeroed, contiguous, page-aligned; NULL when memory is out */
void page_free(void *p, size_t pages);
/* [address, address + length) is program memory or lies in a window: touching it harms nobody but
 * the program, and where it faults after all, the running system call ends with -EFAULT. */
bool user_range_ok(uint64_t address, uint64_t length);
/* Length of the NUL-terminated string at a program's address, or -EFAULT, or -ENAMETOOLONG where no
 * NUL is in `limit` bytes. */
int64_t user_string_length(uint64_t address, size_t limit);

struct memory_statistics {
    uint64_t total, used;
}; /* bytes of program memory */
void memory_statistics(struct memory_statistics *statistics);
size_t memory_maps(char *buffer,
                   size_t size); /* text of /proc/self/maps; returns its length, cut at size */

/* ---- boot.c ---- */
extern struct boot_info {
    const char *program;
    uint64_t place;
    int argc;
    char **argv;
    int envc;
    char **envp;
} boot_info;
noreturn void kernel_panic(const char *text);

/* ---- thread.c ---- */
/* Runs other threads until ready(argument). The deadline is in monotonic_ns(); NO_DEADLINE: none.
 * Returns false when it has passed, or when a signal for this thread is pending (then interrupted()
 * is true: return -EINTR). Where no thread could ever go on, the kernel ends the call as a
 * deadlock. */
bool block_until(bool (*ready)(void *), void *argument, uint64_t deadline_ns);
bool interrupted(void);
int32_t current_tid(void);
enum { FIRST_THREAD = 2, SESSION_ID = 2, PARENT_ID = 1 };
int32_t process_id(void); /* as the host says: another in every call */

/* ---- time.c ---- */
uint64_t monotonic_ns(void);
int64_t realtime_ns(void);
uint64_t call_sequence(void);

/* ---- random.c ---- */
void random_bytes(void *buffer, size_t length);

#endif
