/* System calls from `syscall` instructions of every shape: what they do is the same whether the
 * kernel has rewritten them or not, and only those are rewritten for which that is certain. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

/* The numbers: read 0, getpid 39, getppid 110. */
#define FUNCTION(name, body)                                                                \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n.p2align 4\n" #name ":\n" \
            ".cfi_startproc\n" body "\n.cfi_endproc\n.size " #name ", .-" #name "\n")

FUNCTION(long_one, "mov $39, %eax\n"
                   "syscall\n"
                   "long_one_back: ret");

FUNCTION(short_one, "xor %eax, %eax\n"
                    "syscall\n"
                    "short_one_back: ret");

FUNCTION(short_inner, "test %edi, %edi\n"
                      "js 1f\n"
                      "xor %eax, %eax\n"
                      "syscall\n"
                      "ret\n"
                      ".p2align 4\n"
                      "1: xor %eax, %eax\n"
                      "syscall\n"
                      "ret\n"
                      ".fill 200, 1, 0x90\n"
                      "ret");

FUNCTION(number_elsewhere, "mov $110, %eax\n"
                           "mov $0x1234, %edi\n"
                           "syscall\n"
                           "ret");

FUNCTION(red_zone, "mov $0x1122, %rax\n"
                   "mov %rax, -8(%rsp)\n"
                   "mov %rax, -120(%rsp)\n"
                   "mov $39, %eax\n"
                   "syscall\n"
                   "mov -8(%rsp), %rax\n"
                   "add -120(%rsp), %rax\n"
                   "ret");

FUNCTION(shared, "mov $110, %eax\n"
                 "test %edi, %edi\n"
                 "jnz 1f\n"
                 "shared_number: mov $39, %eax\n"
                 "1: syscall\n"
                 "ret");

FUNCTION(overlapped, "test %edi, %edi\n"
                     "mov $-1, %edi\n"
                     "jnz 1f\n"
                     "middle: .byte 0xb8\n"
                     "1: .byte 0x31, 0xc0, 0x90, 0x90\n"
                     "syscall\n"
                     "ret");

FUNCTION(data, "jmp 1f\n"
               "no_code: .byte 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05\n"
               "1: mov no_code(%rip), %rax\n"
               "ret");

FUNCTION(switched, "lea 1f(%rip), %rax\n"
                   "jmp *%rax\n"
                   "1: mov $39, %eax\n"
                   "syscall\n"
                   "ret");

FUNCTION(relative, "mov $39, %eax\n"
                   "lea relative(%rip), %rdi\n"
                   "syscall\n"
                   "ret");

FUNCTION(clobbers, "mov $39, %eax\n"
                   "syscall\n"
                   "clobbers_back: mov %rcx, %rax\n"
                   "ret");

/* Stores the call-saved registers and those with arguments before and after; returns 0 where
   they are the same. */
FUNCTION(kept, "push %rbx\n"
               "push %rbp\n"
               "push %r12\n"
               "push %r13\n"
               "push %r14\n"
               "push %r15\n"
               "mov $1, %ebx\n"
               "mov $2, %ebp\n"
               "mov $3, %r12d\n"
               "mov $4, %r13d\n"
               "mov $5, %r14d\n"
               "mov $6, %r15d\n"
               "mov $7, %edi\n"
               "mov $8, %esi\n"
               "mov $9, %edx\n"
               "mov $10, %r10d\n"
               "mov $11, %r8d\n"
               "mov $12, %r9d\n"
               "mov $39, %eax\n"
               "syscall\n"
               "lea (%rbx, %rbp), %rax\n"
               "add %r12, %rax\n"
               "add %r13, %rax\n"
               "add %r14, %rax\n"
               "add %r15, %rax\n"
               "add %rdi, %rax\n"
               "add %rsi, %rax\n"
               "add %rdx, %rax\n"
               "add %r10, %rax\n"
               "add %r8, %rax\n"
               "add %r9, %rax\n"
               "sub $78, %rax\n"
               "pop %r15\n"
               "pop %r14\n"
               "pop %r13\n"
               "pop %r12\n"
               "pop %rbp\n"
               "pop %rbx\n"
               "ret");

/* No table describes this one. */
__asm__(".text\n"
        ".globl undescribed\n"
        ".p2align 4\n"
        "undescribed: mov $39, %eax\n"
        "syscall\n"
        "ret\n"
        ".p2align 4\n");

long long_one(void), short_one(int fd, void *buffer, size_t size),
    short_inner(int fd, void *buffer, size_t size), number_elsewhere(void), red_zone(void),
    shared(int direct), overlapped(int second), data(void), switched(void), relative(void),
    clobbers(void), kept(void), undescribed(void);
extern const uint8_t long_one_back[], short_one_back[], shared_number[], middle[], no_code[],
    clobbers_back[];

static bool rewritten; /* by the kernel: not on Linux, nor where there is no .eh_frame_hdr */

static int find_table(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        *(bool *)found |= info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME;
    return 1; /* the program itself comes first */
}

/* The first byte of an instruction: as it was linked, and as it is when rewritten. */
static void check_byte(const void *code, uint8_t linked, uint8_t changed)
{
    CHECK(*(const volatile uint8_t *)code == (rewritten ? changed : linked));
}

static void results(void)
{
    int ends[2];
    char buffer[8] = "";
    CHECK(pipe(ends) == 0 && write(ends[1], "abcdef", 6) == 6);
    CHECK(long_one() == getpid());
    CHECK(short_one(ends[0], buffer, 2) == 2 && short_inner(ends[0], buffer + 2, 2) == 2);
    CHECK(short_inner(-1, buffer, 1) == -EBADF);
    CHECK(memcmp(buffer, "abcd", 4) == 0);
    CHECK(number_elsewhere() == getppid());
    CHECK(red_zone() == 2 * 0x1122);
    CHECK(shared(0) == getpid() && shared(1) == getppid());
    CHECK(overlapped(0) == -ENOSYS && overlapped(1) == -EBADF);
    CHECK((data() & 0xffffffffffffff) == 0x050f00000027b8);
    CHECK(switched() == getpid() && relative() == getpid() && undescribed() == getpid());
    CHECK(clobbers() == (long)clobbers_back);
    CHECK(kept() == 0);
    CHECK(short_one(ends[0], (void *)8, 1) == -EFAULT);
    close(ends[0]);
    close(ends[1]);
}

static void bytes(void)
{
    check_byte((const void *)long_one, 0xb8, 0xe9);
    check_byte((const void *)short_one, 0x31, 0xeb);
    check_byte((const uint8_t *)short_inner + 4, 0x31, 0xeb);
    check_byte((const uint8_t *)number_elsewhere + 5, 0xbf, 0xe9);
    check_byte(shared_number, 0xb8, 0xe9);
    check_byte(middle, 0xb8, 0xb8);
    check_byte(no_code, 0xb8, 0xb8);
    check_byte((const uint8_t *)switched + 9, 0xb8, 0xb8);
    check_byte((const uint8_t *)relative + 5, 0x48, 0x48);
    check_byte((const void *)undescribed, 0xb8, 0xb8);
    check_byte(long_one_back - 2, 0x0f, 0x0f);
    check_byte(long_one_back - 1, 0x05, 0x05);
}

static volatile uint64_t interrupted_at;
static pthread_t reader;
static int ends[2], reader_id;

static void record(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    interrupted_at = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

/* Waits until the reader sleeps in its call. In a VM it does once this thread runs: threads give
 * way only where they wait. */
static void await_reader(void)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", reader_id);
    while (getenv("ON_LINUX") && state != 'S') {
        usleep(1000);
        FILE *file = fopen(path, "r");
        CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
}

static void *interrupt(void *unused)
{
    (void)unused;
    usleep(1000);
    await_reader();
    CHECK(pthread_kill(reader, SIGUSR1) == 0);
    while (!interrupted_at)
        usleep(1000);
    usleep(10000);
    CHECK(write(ends[1], "x", 1) == 1);
    return NULL;
}

/* A read that waits is interrupted at the site. Returns what it returned. */
static long interrupted_read(int flags)
{
    pthread_t thread;
    char byte;
    struct sigaction action = { .sa_sigaction = record, .sa_flags = SA_SIGINFO | flags };
    reader = pthread_self();
    reader_id = gettid();
    interrupted_at = 0;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && pipe(ends) == 0);
    CHECK(pthread_create(&thread, NULL, interrupt, NULL) == 0);
    const long result = short_one(ends[0], &byte, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    close(ends[0]);
    close(ends[1]);
    return result;
}

int main(void)
{
    dl_iterate_phdr(find_table, &rewritten);
    rewritten = rewritten && !getenv("ON_LINUX");
    bytes();
    results();
    CHECK(interrupted_read(0) == -EINTR && interrupted_at == (uint64_t)short_one_back);
    CHECK(interrupted_read(SA_RESTART) == 1 && interrupted_at == (uint64_t)short_one_back - 2);
    return DONE();
}
