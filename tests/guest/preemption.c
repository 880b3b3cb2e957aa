/* Threads that compute, and make no system call, while others wait or compute, too. What a thread
 * has in its registers and below its stack pointer stays, however often others run in between. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define TURNS    150 /* that the two threads with full registers have in all */
#define SPINS    20000
#define RED_ZONE 16 /* words */

/* All that a thread has: what is loaded, and what is found after a while. */
struct registers {
    uint64_t general[14]; /* RAX RBX RDX RSI RBP R8 to R15, and of GS: its first word */
    uint64_t flags;
    uint64_t red_zone[RED_ZONE];
    uint64_t masks[8];
    uint32_t mxcsr;
    uint16_t x87_control;
    uint8_t x87[8][16];
    uint8_t vectors[32][64];
};

struct holder {
    struct registers loaded, found;
    uint64_t kind; /* of vector registers: 0 SSE, 1 AVX, 2 AVX-512 */
    uint64_t spins;
    int number;
    pthread_t thread;
};

/* Loads the registers, spins, and stores them. RDI stays the holder's address; RCX counts. */
void hold(struct holder *holder);
__asm__(".text\n.globl hold\nhold:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "fninit; fldcw X87C(%rdi); ldmxcsr MXCSR(%rdi)\n"
        ".set i, 0\n.rept 8\n fldt X87 + 16 * i(%rdi)\n .set i, i + 1\n.endr\n"
        "cmpq $1, KIND(%rdi); jb 1f; ja 2f\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        " vmovdqu VECTORS + 64 * \\n(%rdi), %ymm\\n\n.endr\njmp 3f\n"
        "1:\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        " movdqu VECTORS + 64 * \\n(%rdi), %xmm\\n\n.endr\njmp 3f\n"
        "2:\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,"
        "29,30,31\n vmovdqu64 VECTORS + 64 * \\n(%rdi), %zmm\\n\n.endr\n"
        ".irp n,0,1,2,3,4,5,6,7\n kmovw MASKS + 8 * \\n(%rdi), %k\\n\n.endr\n"
        "3: pushq FLAGS(%rdi); popfq\n"
        ".set i, 0\n.rept 16\n mov RED + 8 * i(%rdi), %rax\n mov %rax, -8 - 8 * i(%rsp)\n"
        " .set i, i + 1\n.endr\n"
        "mov 0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rdx; mov 24(%rdi), %rsi\n"
        "mov 32(%rdi), %rbp; mov 40(%rdi), %r8; mov 48(%rdi), %r9; mov 56(%rdi), %r10\n"
        "mov 64(%rdi), %r11; mov 72(%rdi), %r12; mov 80(%rdi), %r13; mov 88(%rdi), %r14\n"
        "mov 96(%rdi), %r15; mov SPIN(%rdi), %rcx\n"
        "4: jrcxz 5f; lea -1(%rcx), %rcx; jmp 4b\n"
        "5: mov %rax, F+0(%rdi); mov %rbx, F+8(%rdi); mov %rdx, F+16(%rdi); mov %rsi, F+24(%rdi)\n"
        "mov %rbp, F+32(%rdi); mov %r8, F+40(%rdi); mov %r9, F+48(%rdi); mov %r10, F+56(%rdi)\n"
        "mov %r11, F+64(%rdi); mov %r12, F+72(%rdi); mov %r13, F+80(%rdi); mov %r14, F+88(%rdi)\n"
        "mov %r15, F+96(%rdi); mov %gs:0, %rax; mov %rax, F+104(%rdi)\n"
        ".set i, 0\n.rept 16\n mov -8 - 8 * i(%rsp), %rax\n mov %rax, F+RED + 8 * i(%rdi)\n"
        " .set i, i + 1\n.endr\n"
        "pushfq; popq F+FLAGS(%rdi); cld\n"
        "cmpq $1, KIND(%rdi); jb 1f; ja 2f\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        " vmovdqu %ymm\\n, F+VECTORS + 64 * \\n(%rdi)\n.endr\nvzeroupper\njmp 3f\n"
        "1:\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        " movdqu %xmm\\n, F+VECTORS + 64 * \\n(%rdi)\n.endr\njmp 3f\n"
        "2:\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,"
        "29,30,31\n vmovdqu64 %zmm\\n, F+VECTORS + 64 * \\n(%rdi)\n.endr\n"
        ".irp n,0,1,2,3,4,5,6,7\n kmovw %k\\n, F+MASKS + 8 * \\n(%rdi)\n.endr\nvzeroupper\n"
        "3: stmxcsr F+MXCSR(%rdi); fnstcw F+X87C(%rdi)\n"
        ".set i, 7\n.rept 8\n fstpt F+X87 + 16 * i(%rdi)\n .set i, i - 1\n.endr\n"
        "fninit; push $0x1f80; ldmxcsr (%rsp); pop %rax\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

/* The offsets that hold() uses. */
#define OFFSET(name, member) \
    __asm__(".set " #name ", %c0" : : "i"(__builtin_offsetof(struct holder, member)))

static void define_offsets(void) __attribute__((used));
static void define_offsets(void)
{
    OFFSET(FLAGS, loaded.flags);
    OFFSET(RED, loaded.red_zone);
    OFFSET(MASKS, loaded.masks);
    OFFSET(MXCSR, loaded.mxcsr);
    OFFSET(X87C, loaded.x87_control);
    OFFSET(X87, loaded.x87);
    OFFSET(VECTORS, loaded.vectors);
    OFFSET(F, found);
    OFFSET(KIND, kind);
    OFFSET(SPIN, spins);
}

static volatile int owner, turns[2], signals[2];
static volatile bool stop;
static _Thread_local volatile int mine = -1;

static void fill(void *to, size_t length, uint64_t seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)to)[i] = (uint8_t)(seed >> 56);
    }
}

static void prepare(struct holder *holder, uint64_t seed)
{
    struct registers *to = &holder->loaded;
    fill(to, sizeof *to, seed);
    to->flags = 0x202 | (seed & 1 ? 0xcd5 : 0x414); /* DF; CF PF AF ZF SF OF, or PF AF */
    to->general[13] = (uint64_t)holder->number;
    to->mxcsr = 0x1f80 | (seed & 3) << 13; /* rounding */
    to->x87_control = (uint16_t)(0x37f & ~(3u << 10)) | (uint16_t)((seed & 3) << 10);
    for (int i = 0; i < 8; i++) { /* numbers: the integer bit is set, the exponent is in range */
        to->x87[i][7] |= 0x80;
        to->x87[i][8] = 0xff;
        to->x87[i][9] = 0x3f;
        memset(to->x87[i] + 10, 0, 6);
    }
    for (int i = 0; i < 8; i++)
        to->masks[i] &= 0xffff;
    holder->spins = SPINS;
}

/* A handler that uses much of what it interrupts. */
static void on_signal(int number)
{
    (void)number;
    double values[8];
    for (int i = 0; i < 8; i++)
        values[i] = (double)i / 3 * (double)number;
    __asm__ volatile("" : : "r"(values) : "memory");
    if (mine >= 0)
        signals[mine]++;
}

static void *compute(void *argument)
{
    struct holder *holder = argument;
    uint64_t gs[1] = { (uint64_t)holder->number };
    mine = holder->number;
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, gs) == 0);
    for (uint64_t round = 0; !stop; round++) {
        prepare(holder, round * 2 + (uint64_t)holder->number);
        holder->found = holder->loaded;
        memset(holder->found.general, 0, sizeof holder->found.general);
        hold(holder);
        const bool same = memcmp(&holder->loaded, &holder->found, sizeof holder->found) == 0;
        if (!same)
            CHECK(same);
        if (owner != holder->number)
            turns[holder->number]++;
        owner = holder->number;
        if (mine != holder->number)
            CHECK(mine == holder->number);
    }
    return NULL;
}

static uint64_t vector_kind(void)
{
    return __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx2") ? 1 : 0;
}

static void pause_for(long nanoseconds)
{
    nanosleep(&(struct timespec){ .tv_nsec = nanoseconds }, NULL);
}

static void registers_stay(void)
{
    static struct holder holders[2];
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 2; i++) {
        holders[i].number = i;
        holders[i].kind = vector_kind();
        CHECK(pthread_create(&holders[i].thread, NULL, compute, &holders[i]) == 0);
    }
    while ((turns[0] + turns[1] < TURNS || signals[0] == 0 || signals[1] == 0) && failures == 0) {
        pause_for(100000);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_kill(holders[i].thread, SIGUSR1) == 0);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(holders[i].thread, NULL) == 0);
    CHECK(turns[0] > 0 && turns[1] > 0 && signals[0] > 0 && signals[1] > 0);
}

/* ---- Who waits has its turn ---- */

static volatile bool flag;
static volatile uint64_t counted;

static void *set_flag_later(void *argument)
{
    pause_for((long)argument);
    flag = true;
    return NULL;
}

static void *set_flag_after_work(void *argument)
{
    for (uint64_t i = 0; i < 1000000; i++)
        counted++;
    return set_flag_later(argument);
}

static void *spin(void *argument)
{
    while (!*(volatile bool *)argument)
        counted++;
    return NULL;
}

static void a_spinning_thread_lets_others_run(void)
{
    void *(*const others[])(void *) = { set_flag_later, set_flag_after_work };
    for (size_t i = 0; i < 2; i++) {
        pthread_t other;
        flag = false;
        CHECK(pthread_create(&other, NULL, others[i], (void *)(i ? 0l : 3000000l)) == 0);
        spin((void *)&flag);
        CHECK(pthread_join(other, NULL) == 0);
    }
}

static void a_wait_ends_while_others_spin(void)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec until;
    pthread_t others[2];
    flag = false;
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&others[i], NULL, spin, (void *)&flag) == 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 5000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&lock);
    CHECK(pthread_cond_timedwait(&never, &lock, &until) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
    flag = true;
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(others[i], NULL) == 0);
}

/* ---- Exceptions between interruptions ---- */

static volatile long traps;

static void on_trap(int number)
{
    (void)number;
    traps++;
}

static void breakpoints_count(void)
{
    static bool ends;
    pthread_t other;
    signal(SIGTRAP, on_trap);
    CHECK(pthread_create(&other, NULL, spin, &ends) == 0);
    for (int i = 0; i < 1000; i++)
        __asm__ volatile("int3" : : : "memory");
    CHECK(traps == 1000);
    *(volatile bool *)&ends = true;
    CHECK(pthread_join(other, NULL) == 0);
}

int main(void)
{
    static bool never;
    pthread_t spins_on;
    registers_stay();
    a_spinning_thread_lets_others_run();
    a_wait_ends_while_others_spin();
    breakpoints_count();
    CHECK(pthread_create(&spins_on, NULL, spin, &never) == 0); /* as the program ends */
    return DONE();
}
