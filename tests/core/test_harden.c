/* Hardened calls: on which threads guests run, and what the filter around those refuses, tried from
 * inside. Usage: test_harden raw_guest.bin. Prints what holds and what failed. */
#include <dirent.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "raw_image.h"
#include "system_calls.h"

#define SECOND 1000000000ull

int __real_ioctl(int, unsigned long, ...);
int __wrap_ioctl(int, unsigned long, ...);
int __real_prctl(int, ...);
int __wrap_prctl(int, ...);

static void (*_Atomic inside)(void); /* runs once, where the guest is entered next */
static _Atomic bool refuses_privileges;
static pthread_t entered_by;
static _Atomic int entries, open_entries; /* open: without a filter */

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list given;
    va_start(given, request);
    void *argument = va_arg(given, void *);
    va_end(given);
    if (request == KVM_RUN) {
        entered_by = pthread_self();
        entries++;
        open_entries += syscall(SYS_getppid) >= 0;
        void (*act)(void) = atomic_exchange(&inside, NULL);
        if (act)
            act();
    }
    return __real_ioctl(fd, request, argument);
}

int __wrap_prctl(int option, ...)
{
    if (atomic_load(&refuses_privileges) && option == PR_SET_NO_NEW_PRIVS) {
        errno = EINVAL;
        return -1;
    }
    return __real_prctl(option, 1, 0, 0, 0);
}

static struct outcome count_once(udfvm_vm *vm)
{
    const struct outcome got = CALL(vm, NULL, RAW_COUNT);
    check(got.code == 0 && got.words[0] == 1, "a call: %s", got.error.message);
    return got;
}

/* ---- Before ---- */

static void test_without_a_filter_nothing_changes(void)
{
    struct udfvm_error error;
    udfvm_vm *vm = open_vm(image);
    atomic_store(&refuses_privileges, true);
    check(udfvm_harden(&error) == UDFVM_E_HARDEN && strstr(error.message, "new privileges"),
          "hardened: %s", error.message);
    atomic_store(&refuses_privileges, false);
    count_once(vm);
    check_number(pthread_equal(entered_by, pthread_self()), "runs on this thread", 0);
    udfvm_vm_close(vm);
}

/* ---- Threads ---- */

/* Threads of this process that a filter stands around. KVM's own, which never leave the kernel, are
 * as the thread that first entered their VM, and have another name. */
static int filtered_threads(void)
{
    int count = 0;
    bool own = false;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *task; tasks && (task = readdir(tasks));) {
        char path[300], line[100];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) {
            if (strncmp(line, "Name:", 5) == 0)
                own = strncmp(line, "Name:\tkvm-", 10) != 0;
            count += own && strcmp(line, "Seccomp:\t2\n") == 0;
        }
        if (status)
            fclose(status);
    }
    closedir(tasks);
    return count;
}

static int64_t look_around(void *context, const char *name, const void *arguments, uint64_t length,
                           void *reply, uint64_t capacity, char *failure)
{
    (void)name, (void)arguments, (void)length, (void)failure;
    const pthread_t *caller = context;
    check_number(pthread_equal(*caller, pthread_self()), "the caller's thread", 0);
    check_number(filtered_threads() == 1, "threads behind the filter", filtered_threads());
    check_number(prctl(PR_GET_SECCOMP) == 0, "a filter around the caller", 0);
    memset(reply, 7, capacity);
    return (int64_t)capacity;
}

static void test_guests_run_behind_it_and_the_program_does_not(void)
{
    pthread_t self = pthread_self();
    const struct udfvm_host_functions functions = { .context = &self,
                                                    .call = look_around,
                                                    .max_calls = 1 };
    const struct udfvm_limits limits = { .timeout_ns = 20 * SECOND, .host_functions = &functions };
    udfvm_vm *vm = open_vm(image); /* from before */
    check_number(udfvm_harden(NULL) == UDFVM_OK && udfvm_harden(NULL) == UDFVM_OK, "hardened", 0);
    const struct outcome got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL,
                                    UDFVM_PROGRAM_BASE, 0, UDFVM_OUTPUT_BASE, 8,
                                    UDFVM_OUTPUT_BASE + 8, 8);
    check(got.code == 0 && got.words[1] == 0x0707070707070707, "a host function: %s",
          got.error.message);
    check_number(!pthread_equal(entered_by, self), "runs on another thread", 0);
    udfvm_vm_close(vm);
}

/* By whatever way; with one processor there are no streams. */
static void test_every_entry_is_behind_it(void)
{
    static const struct udfvm_limits soon = { .timeout_ns = SECOND / 20 };
    struct udfvm_reply reply;
    struct udfvm_error error;
    udfvm_vm *vm = open_vm(image);
    const int before = open_entries, entered = entries;
    udfvm_image_close(layer(5));
    for (uint64_t i = 0; i < 20; i++) {
        const uint64_t request[] = { RAW_STREAM, 4, RAW_ANSWER, i };
        const int code = udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, NULL,
                                              &reply, &error);
        check(code == 0 && ((const uint64_t *)reply.data)[3] == i, "row %llu: %s",
              (unsigned long long)i, error.message);
    }
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    check_number(CALL(vm, &soon, RAW_LOOP).code == UDFVM_E_TIMEOUT, "a loop", 0);
    count_once(vm);
    udfvm_vm_close(vm);
    check_number(entries >= entered + 10, "entries", entries - entered);
    check_number(open_entries == before, "entries without a filter", open_entries - before);
}

/* ---- The filter ---- */

static int refused;

static int number_of(long number, long argument)
{
    return syscall(number, argument, argument, argument, argument, argument, argument) < 0 ? errno
                                                                                           : 0;
}

/* Calls whose arguments the filter does not look at. The others of its table have arguments here
 * that it refuses. */
static bool gets_through(long number)
{
    static const long numbers[] = {
        SYS_futex,         SYS_munmap,        SYS_mremap,          SYS_madvise,        SYS_brk,
        SYS_getrandom,     SYS_rseq,          SYS_sigaltstack,     SYS_rt_sigprocmask, SYS_getcpu,
        SYS_rt_sigpending, SYS_clock_gettime, SYS_rt_sigtimedwait, SYS_sched_yield,
    };
    return is_among(number, numbers, LENGTH_OF(numbers));
}

/* No number but those of the table gets through. Without the filter nothing is tried. */
static void try_all_numbers(void)
{
    if (number_of(SYS_getppid, 0) != EPERM)
        return;
    for (long number = 0; number < CALLS; number++) {
        if (!comes_back(number))
            continue;
        /* Arguments that no check of the filter takes, and no call either. */
        const int code = number_of(number, -1);
        check((code == EPERM) != gets_through(number), "system call %ld: %d", number, code);
        refused += code == EPERM;
    }
}

static void test_it_lets_few_through(void)
{
    udfvm_vm *vm = open_vm(image);
    atomic_store(&inside, try_all_numbers);
    count_once(vm);
    check_number(refused > 0, "system calls that are refused", refused);
    count_once(vm);
    udfvm_vm_close(vm);
}

/* By that of 32-bit programs, whose numbers mean other calls: 11 is execve(2), and munmap(2) for
 * others. */
static int other_entry;

static void try_other_entry(void)
{
    long number = 11;
    if (number_of(SYS_getppid, 0) != EPERM)
        return;
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(0), "c"(0), "d"(0) : "memory");
    other_entry = (int)number;
}

/* A kernel without that entry ends the program that tries it. */
static bool has_other_entry(void)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        long number = 20; /* getpid(2) */
        __asm__ volatile("int $0x80" : "+a"(number) : : "memory");
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status);
}

static void test_no_other_entry_gets_through(void)
{
    if (!has_other_entry())
        return;
    udfvm_vm *vm = open_vm(image);
    atomic_store(&inside, try_other_entry);
    count_once(vm);
    check_number(other_entry == -EPERM, "int 0x80", other_entry);
    udfvm_vm_close(vm);
}

static const long arguments_refused[][7] = {
    { SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
    { SYS_mprotect, 0, 4096, PROT_EXEC },
    { SYS_ioctl, 0, TIOCSTI, 0 },
    { SYS_ioctl, 0, (long)KVM_CREATE_VM, 0 },
    { SYS_ioctl, 0, (long)KVM_SET_USER_MEMORY_REGION, 0 },
    { SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD },
    { SYS_clone, SIGCHLD },
    { SYS_clone3, 0, 0 },
    { SYS_prlimit64, 0, RLIMIT_AS, 1 },
    { SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY },
    { SYS_write, 1, (long)"", 0 },
    { SYS_rt_sigaction, SIGTERM, 0, 0, 8 },
    { SYS_getpid | 0x40000000 },
};

static void try_arguments(void)
{
    refused = 0;
    for (size_t i = 0; i < sizeof arguments_refused / sizeof *arguments_refused; i++) {
        const long *call = arguments_refused[i];
        const long got = syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
        refused += got < 0 && errno == EPERM;
        check(got < 0 && errno == EPERM, "system call %ld with %ld, %ld, %ld: %ld", call[0],
              call[1], call[2], call[3], got);
    }
}

static void test_arguments_that_it_refuses(void)
{
    udfvm_vm *vm = open_vm(image);
    atomic_store(&inside, try_arguments);
    count_once(vm);
    check_number(refused == sizeof arguments_refused / sizeof *arguments_refused, "refused",
                 refused);
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "without a filter nothing changes", test_without_a_filter_nothing_changes },
        { "guests run behind it, and the program does not",
          test_guests_run_behind_it_and_the_program_does_not },
        { "every entry is behind it", test_every_entry_is_behind_it },
        { "it lets few through", test_it_lets_few_through },
        { "no other entry gets through", test_no_other_entry_gets_through },
        { "arguments that it refuses", test_arguments_that_it_refuses },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
