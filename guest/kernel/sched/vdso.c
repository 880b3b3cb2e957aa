/* The vDSO gives the C library clock functions that need no system call. The library finds it by
 * AT_SYSINFO_EHDR.
 *
 * It is an ELF image that has only headers and tables, at the address that it is linked to. Its
 * symbols are functions of the kernel. Formats: System V ABI, chapters 4 and 5. Names and
 * version: vdso(7).
 */
#include "sched/vdso.h"
#include "sched/thread.h"
#include "sched/time.h"

#include <linux/elf.h>

/* A program that reads the time repeatedly may wait for another thread, so that thread must run. */
static void give_way(void)
{
    typedef int64_t kernel_entry(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                 uint64_t e, uint64_t f);
    if (thread_slice_is_over())
        ((kernel_entry *)UDFVM_VECTOR_SYSCALL_FUNCTION)(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static int64_t vdso_clock_gettime(int clock, struct timespec *time)
{
    give_way();
    return clock_gettime(clock, time);
}

static int64_t vdso_gettimeofday(struct timeval *time, struct timezone *zone)
{
    give_way();
    return clock_gettimeofday(time, zone);
}

static int64_t vdso_time(int64_t *time)
{
    give_way();
    return clock_seconds(time);
}

static int64_t vdso_clock_getres(int clock, struct timespec *resolution)
{
    return clock_getres(clock, resolution);
}

static int64_t vdso_getcpu(uint32_t *processor, uint32_t *node)
{
    if (processor)
        *processor = 0;
    if (node)
        *node = 0;
    return 0;
}

enum { SYMBOLS = 5, DYNAMIC_ENTRIES = 10 };
#define VERSION_HASH 0x3ae75f6u /* the ABI's hash of "LINUX_2.6" */

struct version {
    uint16_t version, flags, index, names;
    uint32_t hash, name_offset, next, name, previous;
};

static const struct strings {
    char empty[1], soname[16], version[10], clock_gettime[21], gettimeofday[20], time[12],
        getcpu[14], clock_getres[20];
} strings = { "",
              "linux-vdso.so.1",
              "LINUX_2.6",
              "__vdso_clock_gettime",
              "__vdso_gettimeofday",
              "__vdso_time",
              "__vdso_getcpu",
              "__vdso_clock_getres" };

#define SYMBOL(string, function)                   \
    { .st_name = offsetof(struct strings, string), \
      .st_info = STB_GLOBAL << 4 | STT_FUNC,       \
      .st_shndx = 1,                               \
      .st_value = (uint64_t)(function),            \
      .st_size = 16 }

static const Elf64_Sym symbols[SYMBOLS + 1] = {
    [1] = SYMBOL(clock_gettime, vdso_clock_gettime),
    [2] = SYMBOL(gettimeofday, vdso_gettimeofday),
    [3] = SYMBOL(time, vdso_time),
    [4] = SYMBOL(getcpu, vdso_getcpu),
    [5] = SYMBOL(clock_getres, vdso_clock_getres),
};

static const uint16_t symbol_versions[SYMBOLS + 1] = { 0, 2, 2, 2, 2, 2 };

static const struct version versions[2] = {
    { .version = 1,
      .flags = 1,
      .index = 1,
      .names = 1,
      .name_offset = offsetof(struct version, name),
      .next = sizeof(struct version),
      .name = offsetof(struct strings, soname) },
    { .version = 1,
      .index = 2,
      .names = 1,
      .hash = VERSION_HASH,
      .name_offset = offsetof(struct version, name),
      .name = offsetof(struct strings, version) },
};

/* The table has one bucket, whose chain goes through all symbols. */
static const uint32_t hash_table[2 + 1 + SYMBOLS + 1] = { 1, SYMBOLS + 1, 1, 0, 2, 3, 4, 5, 0 };

enum { TAG_VERSYM = 0x6ffffff0, TAG_VERDEF = 0x6ffffffc, TAG_VERDEFNUM = 0x6ffffffd };

static const struct {
    int64_t tag;
    uint64_t value;
} dynamic[DYNAMIC_ENTRIES] = {
    { DT_HASH, (uint64_t)hash_table },
    { DT_STRTAB, (uint64_t)&strings },
    { DT_SYMTAB, (uint64_t)symbols },
    { DT_STRSZ, sizeof strings },
    { DT_SYMENT, sizeof(Elf64_Sym) },
    { DT_SONAME, offsetof(struct strings, soname) },
    { TAG_VERSYM, (uint64_t)symbol_versions },
    { TAG_VERDEF, (uint64_t)versions },
    { TAG_VERDEFNUM, 2 },
    { DT_NULL, 0 },
};

static const struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
} image = {
    .header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                             EV_CURRENT },
                .e_type = ET_DYN,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_phoff = offsetof(struct image, segments),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 2 },
    .segments = { { .p_type = PT_LOAD,
                    .p_flags = PF_R | PF_X,
                    .p_vaddr = (uint64_t)&image,
                    .p_paddr = (uint64_t)&image,
                    .p_filesz = sizeof image,
                    .p_memsz = sizeof image,
                    .p_align = 16 },
                  { .p_type = PT_DYNAMIC,
                    .p_flags = PF_R,
                    .p_vaddr = (uint64_t)dynamic,
                    .p_paddr = (uint64_t)dynamic,
                    .p_filesz = sizeof dynamic,
                    .p_memsz = sizeof dynamic,
                    .p_align = 8 } },
};

uint64_t vdso_address(void)
{
    return (uint64_t)&image;
}
