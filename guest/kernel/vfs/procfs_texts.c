/* What the files of /proc and /sys say: as much as programs ask for, in the formats of proc(5). */
#include "host/call.h"
#include "host/clock.h"
#include "host/random.h"
#include "lib/string.h"
#include "mm/report.h"
#include "sched/thread.h"
#include "vfs/procfs.h"

#include <cpuid.h>

#define KIBI          1024u
#define TICKS         100u /* a second, AT_CLKTCK */
#define MEBI_PER_KIBI 1024u

/* ---- Memory ---- */

static struct memory_statistics memory_now(void)
{
    struct memory_statistics memory;
    memory_statistics(&memory);
    return memory;
}

static size_t write_memory(char *to, size_t size)
{
    const struct memory_statistics memory = memory_now();
    const unsigned long long total = memory.total / KIBI,
                             free = (memory.total - memory.used) / KIBI;
    return format(to, size,
                  "MemTotal:       %8llu kB\nMemFree:        %8llu kB\nMemAvailable:   %8llu "
                  "kB\nBuffers:               0 kB\n"
                  "Cached:                0 kB\nSwapCached:            0 kB\nActive:         %8llu "
                  "kB\nInactive:              0 kB\n"
                  "SwapTotal:             0 kB\nSwapFree:              0 kB\nShmem:                "
                  " 0 kB\nSReclaimable:          0 kB\n"
                  "Hugepagesize:       2048 kB\n",
                  total, free, free, total - free);
}

static size_t write_sizes(char *to, size_t size)
{
    const unsigned long long pages = memory_now().used / PAGE_SIZE;
    return format(to, size, "%llu %llu 0 0 0 %llu 0\n", pages, pages, pages);
}

static size_t write_maps(char *to, size_t size)
{
    return memory_maps(to, size);
}

/* ---- The process ---- */

/* The last component of the program's path, cut as Linux does. */
struct name {
    char text[16];
};

static struct name program_name(void)
{
    struct name name = { { 0 } };
    const char *start = vfs_program->path;
    for (const char *at = start; *at; at++)
        if (*at == '/')
            start = at + 1;
    memcpy(name.text, start, minimum(strlen(start), sizeof name.text - 1));
    return name;
}

/* Strings with their NULs, one after the other. */
static size_t write_strings(char *to, size_t size, char *const *strings, int count)
{
    size_t length = 0;
    for (int i = 0; i < count && length < size; i++) {
        const size_t part = minimum(strlen(strings[i]) + 1, size - length);
        memcpy(to + length, strings[i], part);
        length += part;
    }
    return length;
}

static size_t write_command_line(char *to, size_t size)
{
    return write_strings(to, size, vfs_program->argv, vfs_program->argc);
}
static size_t write_environment(char *to, size_t size)
{
    return write_strings(to, size, vfs_program->envp, vfs_program->envc);
}
static size_t write_name(char *to, size_t size)
{
    return format(to, size, "%s\n", program_name().text);
}

static size_t write_status(char *to, size_t size)
{
    const unsigned long long used = memory_now().used / KIBI;
    return format(
        to, size,
        "Name:\t%s\nUmask:\t0022\nState:\tR "
        "(running)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n"
        "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%d\nGroups:\t\nVmPeak:\t%8llu "
        "kB\nVmSize:\t%8llu kB\nVmLck:\t       0 kB\n"
        "VmHWM:\t%8llu kB\nVmRSS:\t%8llu kB\nVmData:\t%8llu kB\nVmSwap:\t       0 "
        "kB\nThreads:\t%u\n"
        "Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n",
        program_name().text, process_id(), process_id(), PARENT_ID, DESCRIPTORS, used, used, used,
        used, used, thread_count());
}

static unsigned long long processor_ticks(void)
{
    return thread_processor_ns(current) / (NANOSECONDS / TICKS);
}

static size_t write_stat(char *to, size_t size)
{
    const unsigned long long used = memory_now().used;
    return format(to, size,
                  "%d (%s) R %d %d %d 0 -1 4194304 0 0 0 0 %llu 0 0 0 20 0 %u 0 0 %llu %llu "
                  "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0"
                  " 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                  process_id(), program_name().text, PARENT_ID, SESSION_ID, SESSION_ID,
                  processor_ticks(), thread_count(), used, used / PAGE_SIZE);
}

static size_t write_limits(char *to, size_t size)
{
    return format(to, size,
                  "Limit                     Soft Limit           Hard Limit           Units     \n"
                  "Max open files            %d                 %d                 files     \n",
                  DESCRIPTORS, DESCRIPTORS);
}

static size_t write_cgroup(char *to, size_t size)
{
    return format(to, size, "0::/\n");
}

static size_t write_mounts(char *to, size_t size)
{
    return format(to, size,
                  "host / overlay ro 0 0\ntmpfs /tmp tmpfs rw 0 0\ntmpfs /var/tmp tmpfs rw 0 "
                  "0\ntmpfs /dev/shm tmpfs rw 0 0\n"
                  "tmpfs /run tmpfs rw 0 0\nproc /proc proc ro 0 0\nsysfs /sys sysfs ro 0 0\n");
}

static size_t write_mount_information(char *to, size_t size)
{
    return format(to, size,
                  "1 0 0:16 / / ro - overlay host ro\n2 1 0:17 / /tmp rw - tmpfs tmpfs rw\n3 1 "
                  "0:18 / /var/tmp rw - tmpfs tmpfs rw\n"
                  "4 1 0:19 / /dev/shm rw - tmpfs tmpfs rw\n5 1 0:20 / /run rw - tmpfs tmpfs rw\n6 "
                  "1 0:21 / /proc ro - proc proc ro\n"
                  "7 1 0:22 / /sys ro - sysfs sysfs ro\n");
}

/* ---- The processor ---- */

#define BITS 32
/* CPUID feature bits by the names of Linux; Intel SDM 2A, CPUID. */
static const struct feature_word {
    uint32_t leaf;
    uint8_t output;
    const char *names[BITS];
} feature_words[] = {
    { 1, 3, { "fpu",  "vme",   "de",   "pse",     "tsc",  "msr", "pae",  "mce",
              "cx8",  "apic",  0,      "sep",     "mtrr", "pge", "mca",  "cmov",
              "pat",  "pse36", "pn",   "clflush", 0,      "dts", "acpi", "mmx",
              "fxsr", "sse",   "sse2", "ss",      "ht",   "tm",  0,      "pbe" } },
    { 1, 2, { "pni",    "pclmulqdq", "dtes64", "monitor", "ds_cpl",
              "vmx",    "smx",       "est",    "tm2",     "ssse3",
              0,        "sdbg",      "fma",    "cx16",    "xtpr",
              "pdcm",   0,           "pcid",   "dca",     "sse4_1",
              "sse4_2", "x2apic",    "movbe",  "popcnt",  "tsc_deadline_timer",
              "aes",    "xsave",     0,        "avx",     "f16c",
              "rdrand", "hypervisor" } },
    { 0x80000001,
      3,
      { [11] = "syscall", [20] = "nx", [26] = "pdpe1gb", [27] = "rdtscp", [29] = "lm" } },
    { 0x80000001,
      2,
      { [0] = "lahf_lm",
        [2] = "svm",
        [5] = "abm",
        [6] = "sse4a",
        [8] = "3dnowprefetch",
        [11] = "xop",
        [16] = "fma4",
        [21] = "tbm" } },
    { 7, 1, { "fsgsbase", "tsc_adjust",
              "sgx",      "bmi1",
              "hle",      "avx2",
              0,          "smep",
              "bmi2",     "erms",
              "invpcid",  "rtm",
              0,          0,
              "mpx",      0,
              "avx512f",  "avx512dq",
              "rdseed",   "adx",
              "smap",     "avx512ifma",
              0,          "clflushopt",
              "clwb",     "intel_pt",
              "avx512pf", "avx512er",
              "avx512cd", "sha_ni",
              "avx512bw", "avx512vl" } },
    { 7,
      2,
      { [1] = "avx512vbmi",
        [2] = "umip",
        [3] = "pku",
        [6] = "avx512_vbmi2",
        [8] = "gfni",
        [9] = "vaes",
        [10] = "vpclmulqdq",
        [11] = "avx512_vnni",
        [12] = "avx512_bitalg",
        [14] = "avx512_vpopcntdq" } },
    { 7,
      3,
      { [2] = "avx512_4vnniw",
        [3] = "avx512_4fmaps",
        [4] = "fsrm",
        [8] = "avx512_vp2intersect",
        [22] = "amx_bf16",
        [23] = "avx512_fp16",
        [24] = "amx_tile",
        [25] = "amx_int8" } },
};

static size_t write_features(char *to, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < sizeof feature_words / sizeof *feature_words; i++) {
        const struct feature_word *word = &feature_words[i];
        unsigned outputs[4] = { 0 };
        __get_cpuid_count(word->leaf, 0, &outputs[0], &outputs[1], &outputs[2], &outputs[3]);
        for (unsigned bit = 0; bit < BITS; bit++)
            if (word->names[bit] && outputs[word->output] >> bit & 1)
                length += format(to + length, size - length, " %s", word->names[bit]);
    }
    return length;
}

static void processor_names(char vendor[13], char name[49])
{
    unsigned words[12] = { 0 }, leaf;
    __cpuid(0, leaf, words[0], words[2], words[1]);
    memcpy(vendor, words, 12);
    vendor[12] = 0;
    for (leaf = 0; leaf < 3; leaf++)
        __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1],
                    &words[4 * leaf + 2], &words[4 * leaf + 3]);
    memcpy(name, words, sizeof words);
    name[48] = 0;
}

static size_t write_processor(char *to, size_t size)
{
    char vendor[13], name[49];
    unsigned version = 0, ignored;
    processor_names(vendor, name);
    __get_cpuid(1, &version, &ignored, &ignored, &ignored);
    const unsigned base_family = version >> 8 & 15;
    const unsigned family = base_family + (base_family == 15 ? version >> 20 & 255 : 0);
    const unsigned model = (version >> 4 & 15) |
                           (base_family == 6 || base_family == 15 ? version >> 12 & 0xf0 : 0);
    const uint32_t khz = ((const struct udfvm_call *)UDFVM_INPUT_BASE)->tsc_khz;
    size_t length = format(to, size,
                           "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: "
                           "%u\nmodel name\t: %s\nstepping\t: %u\n"
                           "cpu MHz\t\t: %u.%03u\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: "
                           "0\ncpu cores\t: 1\napicid\t\t: 0\n"
                           "fpu\t\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:",
                           vendor, family, model, name, version & 15, khz / 1000, khz % 1000,
                           __get_cpuid_max(0, NULL));
    length += write_features(to + length, size - length);
    return length + format(to + length, size - length,
                           "\nbogomips\t: %u.00\nclflush size\t: 64\naddress sizes\t: 46 bits "
                           "physical, 48 bits virtual\n\n",
                           khz / 500);
}

/* ---- The system ---- */

static size_t write_system_stat(char *to, size_t size)
{
    const unsigned long long ticks = processor_ticks();
    const int64_t booted = realtime_ns() / (int64_t)NANOSECONDS -
                           (int64_t)(monotonic_ns() / NANOSECONDS);
    return format(to, size,
                  "cpu  %llu 0 0 0 0 0 0 0 0 0\ncpu0 %llu 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime "
                  "%lld\nprocesses 1\nprocs_running 1\n"
                  "procs_blocked 0\n",
                  ticks, ticks, (long long)booted);
}

static size_t write_uptime(char *to, size_t size)
{
    const unsigned long long hundredths = monotonic_ns() / (NANOSECONDS / 100);
    return format(to, size, "%llu.%02llu 0.00\n", hundredths / 100, hundredths % 100);
}

/* A random UUID: RFC 9562, 5.4. */
static size_t write_uuid(char *to, size_t size)
{
    uint8_t b[16];
    random_bytes(b, sizeof b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    return format(to, size,
                  "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0],
                  b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                  b[14], b[15]);
}

static size_t write_zero(char *to, size_t size)
{
    return format(to, size, "0\n");
}
static size_t write_one(char *to, size_t size)
{
    return format(to, size, "1\n");
}
static size_t write_load(char *to, size_t size)
{
    return format(to, size, "0.00 0.00 0.00 1/1 %d\n", process_id());
}
static size_t write_version(char *to, size_t size)
{
    return format(to, size, "Linux version 6.1.0-udfvm (udfvm) #1\n");
}
static size_t write_release(char *to, size_t size)
{
    return format(to, size, "6.1.0-udfvm\n");
}
static size_t write_system_name(char *to, size_t size)
{
    return format(to, size, "Linux\n");
}
static size_t write_host_name(char *to, size_t size)
{
    return format(to, size, "udfvm\n");
}
static size_t write_huge_pages(char *to, size_t size)
{
    return format(to, size, "always madvise [never]\n");
}
static size_t write_huge_size(char *to, size_t size)
{
    return format(to, size, "%u\n", 2 * KIBI * MEBI_PER_KIBI);
}
static size_t write_file_systems(char *to, size_t size)
{
    return format(to, size, "nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\n");
}
static size_t write_file_limit(char *to, size_t size)
{
    return format(to, size, "%d\n", DESCRIPTORS);
}
static size_t write_map_limit(char *to, size_t size)
{
    return format(to, size, "65530\n");
}
static size_t write_backlog(char *to, size_t size)
{
    return format(to, size, "128\n");
}
static size_t write_pid_limit(char *to, size_t size)
{
    return format(to, size, "32768\n");
}
static size_t write_capability_limit(char *to, size_t size)
{
    return format(to, size, "40\n");
}
static size_t write_group_limit(char *to, size_t size)
{
    return format(to, size, "65536\n");
}
static size_t write_entropy(char *to, size_t size)
{
    return format(to, size, "256\n");
}

const struct generated generated[] = {
    { "/proc/self/cgroup", write_cgroup },
    { "/proc/self/cmdline", write_command_line },
    { "/proc/self/comm", write_name },
    { "/proc/self/environ", write_environment },
    { "/proc/self/limits", write_limits },
    { "/proc/self/maps", write_maps },
    { "/proc/self/mountinfo", write_mount_information },
    { "/proc/self/mounts", write_mounts },
    { "/proc/self/oom_score", write_zero },
    { "/proc/self/oom_score_adj", write_zero },
    { "/proc/self/stat", write_stat },
    { "/proc/self/statm", write_sizes },
    { "/proc/self/status", write_status },
    { "/proc/cpuinfo", write_processor },
    { "/proc/filesystems", write_file_systems },
    { "/proc/loadavg", write_load },
    { "/proc/meminfo", write_memory },
    { "/proc/mounts", write_mounts },
    { "/proc/stat", write_system_stat },
    { "/proc/uptime", write_uptime },
    { "/proc/version", write_version },
    { "/proc/sys/fs/file-max", write_file_limit },
    { "/proc/sys/fs/nr_open", write_file_limit },
    { "/proc/sys/kernel/cap_last_cap", write_capability_limit },
    { "/proc/sys/kernel/hostname", write_host_name },
    { "/proc/sys/kernel/ngroups_max", write_group_limit },
    { "/proc/sys/kernel/osrelease", write_release },
    { "/proc/sys/kernel/ostype", write_system_name },
    { "/proc/sys/kernel/pid_max", write_pid_limit },
    { "/proc/sys/kernel/random/entropy_avail", write_entropy },
    { "/proc/sys/kernel/random/uuid", write_uuid },
    { "/proc/sys/kernel/threads-max", write_pid_limit },
    { "/proc/sys/net/core/somaxconn", write_backlog },
    { "/proc/sys/vm/max_map_count", write_map_limit },
    { "/proc/sys/vm/overcommit_memory", write_one },
    { "/sys/devices/system/cpu/online", write_zero },
    { "/sys/devices/system/cpu/possible", write_zero },
    { "/sys/devices/system/cpu/present", write_zero },
    { "/sys/devices/system/cpu/cpu0/topology/core_id", write_zero },
    { "/sys/devices/system/cpu/cpu0/topology/physical_package_id", write_zero },
    { "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", write_zero },
    { "/sys/devices/system/node/online", write_zero },
    { "/sys/devices/system/node/possible", write_zero },
    { "/sys/devices/system/node/node0/cpulist", write_zero },
    { "/sys/kernel/mm/transparent_hugepage/enabled", write_huge_pages },
    { "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", write_huge_size },
};
const size_t generated_count = sizeof generated / sizeof *generated;
