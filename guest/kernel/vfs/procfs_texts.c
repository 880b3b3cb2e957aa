/* Texts of files in /proc and /sys that programs need, in the formats of proc(5). */
#include "host/call.h"
#include "host/clock.h"
#include "host/random.h"
#include "lib/string.h"
#include "mm/report.h"
#include "sched/thread.h"
#include "vfs/procfs.h"

#define KIBI          1024u
#define TICKS         100u /* ticks a second: AT_CLKTCK */
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
                  "MemTotal:       %8llu kB\n"
                  "MemFree:        %8llu kB\n"
                  "MemAvailable:   %8llu kB\n"
                  "Buffers:               0 kB\n"
                  "Cached:                0 kB\n"
                  "SwapCached:            0 kB\n"
                  "Active:         %8llu kB\n"
                  "Inactive:              0 kB\n"
                  "SwapTotal:             0 kB\n"
                  "SwapFree:              0 kB\n"
                  "Shmem:                 0 kB\n"
                  "SReclaimable:          0 kB\n"
                  "Hugepagesize:       2048 kB\n",
                  total, free, free, total - free);
}

static size_t write_sizes(char *to, size_t size)
{
    const struct memory_statistics memory = memory_now();
    const unsigned long long pages = memory.used / PAGE_SIZE,
                             mapped = (memory.used + memory.reserved) / PAGE_SIZE;
    return format(to, size, "%llu %llu 0 0 0 %llu 0\n", mapped, pages, pages);
}

static size_t write_maps(char *to, size_t size)
{
    return memory_maps(to, size);
}

/* ---- The process ---- */

/* The last component of the program's path, cut to the length that Linux uses. */
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

/* Writes strings with their NULs, one after the other. */
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

/* Of the first thread: R(unning), or S(leeping). */
static char process_state(void)
{
    return first_thread && first_thread != current && first_thread->ready ? 'S' : 'R';
}

static size_t write_status(char *to, size_t size)
{
    const struct memory_statistics memory = memory_now();
    const unsigned long long used = memory.used / KIBI,
                             mapped = (memory.used + memory.reserved) / KIBI;
    return format(to, size,
                  "Name:\t%s\n"
                  "Umask:\t0022\n"
                  "State:\t%s\n"
                  "Tgid:\t%d\n"
                  "Ngid:\t0\n"
                  "Pid:\t%d\n"
                  "PPid:\t%d\n"
                  "TracerPid:\t0\n"
                  "Uid:\t0\t0\t0\t0\n"
                  "Gid:\t0\t0\t0\t0\n"
                  "FDSize:\t%d\n"
                  "Groups:\t\n"
                  "VmPeak:\t%8llu kB\n"
                  "VmSize:\t%8llu kB\n"
                  "VmLck:\t       0 kB\n"
                  "VmHWM:\t%8llu kB\n"
                  "VmRSS:\t%8llu kB\n"
                  "VmData:\t%8llu kB\n"
                  "VmSwap:\t       0 kB\n"
                  "Threads:\t%u\n"
                  "Cpus_allowed:\t1\n"
                  "Cpus_allowed_list:\t0\n"
                  "Mems_allowed:\t1\n"
                  "Mems_allowed_list:\t0\n",
                  program_name().text, process_state() == 'R' ? "R (running)" : "S (sleeping)",
                  process_id(), process_id(), PARENT_ID, DESCRIPTORS, mapped, mapped, used, used,
                  used, thread_count());
}

static unsigned long long processor_ticks(void)
{
    return thread_processor_ns(current) / (NANOSECONDS / TICKS);
}

static size_t write_stat(char *to, size_t size)
{
    const struct memory_statistics memory = memory_now();
    const unsigned long long used = memory.used, mapped = used + memory.reserved;
    return format(to, size,
                  "%d (%s) %s %d %d %d 0 -1 4194304 0 0 0 0 %llu 0 0 0 20 0 %u 0 0 %llu %llu "
                  "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0"
                  " 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                  process_id(), program_name().text, process_state() == 'R' ? "R" : "S", PARENT_ID,
                  SESSION_ID, SESSION_ID, processor_ticks(), thread_count(), mapped,
                  used / PAGE_SIZE);
}

static size_t write_limits(char *to, size_t size)
{
    return format(to, size,
                  "Limit                     Soft Limit           Hard Limit           Units     \n"
                  "Max open files            %d                 %d                 files     \n",
                  DESCRIPTORS, DESCRIPTORS);
}

static const char mounts[] = "host / overlay ro 0 0\n"
                             "tmpfs /tmp tmpfs rw 0 0\n"
                             "tmpfs /var/tmp tmpfs rw 0 0\n"
                             "tmpfs /dev/shm tmpfs rw 0 0\n"
                             "tmpfs /run tmpfs rw 0 0\n"
                             "proc /proc proc ro 0 0\n"
                             "sysfs /sys sysfs ro 0 0\n";

static const char mount_information[] = "1 0 0:16 / / ro - overlay host ro\n"
                                        "2 1 0:17 / /tmp rw - tmpfs tmpfs rw\n"
                                        "3 1 0:18 / /var/tmp rw - tmpfs tmpfs rw\n"
                                        "4 1 0:19 / /dev/shm rw - tmpfs tmpfs rw\n"
                                        "5 1 0:20 / /run rw - tmpfs tmpfs rw\n"
                                        "6 1 0:21 / /proc ro - proc proc ro\n"
                                        "7 1 0:22 / /sys ro - sysfs sysfs ro\n";

/* ---- The system ---- */

static size_t write_system_stat(char *to, size_t size)
{
    const unsigned long long ticks = processor_ticks();
    const int64_t booted = realtime_ns() / (int64_t)NANOSECONDS -
                           (int64_t)(monotonic_ns() / NANOSECONDS);
    return format(to, size,
                  "cpu  %llu 0 0 0 0 0 0 0 0 0\n"
                  "cpu0 %llu 0 0 0 0 0 0 0 0 0\n"
                  "intr 0\n"
                  "ctxt 0\n"
                  "btime %lld\n"
                  "processes 1\n"
                  "procs_running 1\n"
                  "procs_blocked 0\n",
                  ticks, ticks, (long long)booted);
}

static size_t write_uptime(char *to, size_t size)
{
    const unsigned long long hundredths = monotonic_ns() / (NANOSECONDS / 100);
    return format(to, size, "%llu.%02llu 0.00\n", hundredths / 100, hundredths % 100);
}

/* Writes a random UUID: RFC 9562, 5.4. */
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

static size_t write_load(char *to, size_t size)
{
    return format(to, size, "0.00 0.00 0.00 1/1 %d\n", process_id());
}
static size_t write_huge_size(char *to, size_t size)
{
    return format(to, size, "%u\n", 2 * KIBI * MEBI_PER_KIBI);
}
static size_t write_file_limit(char *to, size_t size)
{
    return format(to, size, "%d\n", DESCRIPTORS);
}
const struct generated generated[] = {
    { "/proc/self/cgroup", .text = "0::/\n" },
    { "/proc/self/cmdline", .write = write_command_line },
    { "/proc/self/comm", .write = write_name },
    { "/proc/self/environ", .write = write_environment },
    { "/proc/self/limits", .write = write_limits },
    { "/proc/self/maps", .write = write_maps },
    { "/proc/self/mountinfo", .text = mount_information },
    { "/proc/self/mounts", .text = mounts },
    { "/proc/self/oom_score", .text = "0\n" },
    { "/proc/self/oom_score_adj", .text = "0\n" },
    { "/proc/self/stat", .write = write_stat },
    { "/proc/self/statm", .write = write_sizes },
    { "/proc/self/status", .write = write_status },
    { "/proc/cpuinfo", .write = procfs_write_processor },
    { "/proc/filesystems", .text = "nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\n" },
    { "/proc/loadavg", .write = write_load },
    { "/proc/meminfo", .write = write_memory },
    { "/proc/mounts", .text = mounts },
    { "/proc/stat", .write = write_system_stat },
    { "/proc/uptime", .write = write_uptime },
    { "/proc/version", .text = "Linux version 6.1.0-udfvm (udfvm) #1\n" },
    { "/proc/sys/fs/file-max", .write = write_file_limit },
    { "/proc/sys/fs/nr_open", .write = write_file_limit },
    { "/proc/sys/fs/pipe-max-size", .text = "1048576\n" },
    { "/proc/sys/kernel/cap_last_cap", .text = "40\n" },
    { "/proc/sys/kernel/domainname", .text = "(none)\n" },
    { "/proc/sys/kernel/hostname", .text = "udfvm\n" },
    { "/proc/sys/kernel/ngroups_max", .text = "65536\n" },
    { "/proc/sys/kernel/osrelease", .text = "6.1.0-udfvm\n" },
    { "/proc/sys/kernel/ostype", .text = "Linux\n" },
    { "/proc/sys/kernel/pid_max", .text = "32768\n" },
    { "/proc/sys/kernel/random/entropy_avail", .text = "256\n" },
    { "/proc/sys/kernel/random/uuid", .write = write_uuid },
    { "/proc/sys/kernel/tainted", .text = "0\n" },
    { "/proc/sys/kernel/version", .text = "#1\n" },
    { "/proc/sys/kernel/threads-max", .text = "32768\n" },
    { "/proc/sys/net/core/somaxconn", .text = "128\n" },
    { "/proc/sys/vm/max_map_count", .text = "65530\n" },
    { "/proc/sys/vm/overcommit_memory", .text = "1\n" },
    { "/sys/devices/system/cpu/online", .text = "0\n" },
    { "/sys/devices/system/cpu/possible", .text = "0\n" },
    { "/sys/devices/system/cpu/present", .text = "0\n" },
    { "/sys/devices/system/cpu/cpu0/topology/core_id", .text = "0\n" },
    { "/sys/devices/system/cpu/cpu0/topology/physical_package_id", .text = "0\n" },
    { "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", .text = "0\n" },
    { "/sys/devices/system/node/online", .text = "0\n" },
    { "/sys/devices/system/node/possible", .text = "0\n" },
    { "/sys/devices/system/node/node0/cpulist", .text = "0\n" },
    { "/sys/kernel/mm/transparent_hugepage/enabled", .text = "always madvise [never]\n" },
    { "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", .write = write_huge_size },
};
const size_t generated_count = sizeof generated / sizeof *generated;
