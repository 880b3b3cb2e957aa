/* UMIP: where the processor has it, programs do not learn where descriptor tables are. Linux
 * answers with constants, or with SIGSEGV; the guest kernel with SIGSEGV. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#include "check.h"

#define UMIP 4u /* CPUID leaf 7, ECX */

static sigjmp_buf back;
static volatile int seen, code;

static void jump(int number, siginfo_t *info, void *context)
{
    (void)context;
    seen = number;
    code = info->si_code;
    siglongjmp(back, 1);
}

struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static uint64_t gdt(void)
{
    struct table table = { 0, 0 };
    __asm__ volatile("sgdt %0" : "=m"(table));
    return table.base;
}

static uint64_t idt(void)
{
    struct table table = { 0, 0 };
    __asm__ volatile("sidt %0" : "=m"(table));
    return table.base;
}

static uint64_t ldt(void)
{
    uint16_t selector = 0;
    __asm__ volatile("sldt %0" : "=m"(selector));
    return selector;
}

static uint64_t task(void)
{
    uint64_t selector = 0;
    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}

static uint64_t machine_status(void)
{
    uint64_t word = 0;
    __asm__ volatile("smsw %0" : "=r"(word));
    return word;
}

/* The constants of Linux: arch/x86/kernel/umip.c. */
static bool is_constant(uint64_t (*look)(void), uint64_t found)
{
    if (look == gdt)
        return found == 0xfffffffffffe0000;
    return look != idt || found == 0xffffffffffff0000;
}

int main(void)
{
    static uint64_t (*const looks[])(void) = { gdt, idt, ldt, task, machine_status };
    const struct sigaction action = { .sa_sigaction = jump, .sa_flags = SA_SIGINFO };
    unsigned eax, ebx, ecx = 0, edx;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ecx & UMIP))
        return DONE();
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        seen = 0;
        if (!sigsetjmp(back, 1)) {
            const uint64_t found = looks[i]();
            CHECK(getenv("ON_LINUX") && is_constant(looks[i], found));
        } else {
            CHECK(seen == SIGSEGV && code == SI_KERNEL);
        }
    }
    return DONE();
}
