/* What the files of /proc and /sys say: as much as programs ask for, in the formats of proc(5). */
#include "host/call.h"
#include "host/clock.h"
#include "host/random.h"
#include "lib/string.h"
#include "mm/report.h"
#include "sched/thread.h"
#include "vfs/procfs.h"

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
struct program_name {
    char text[16];
};

static struct program_name program_name(void)
{
    struct program_name name = { { 0 } };
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
    { "/proc/cpuinfo", procfs_write_processor },
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
