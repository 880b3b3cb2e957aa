/* Data: files that guests read and nobody in a VM writes, whatever others do to them meanwhile.
 * Usage: test_data raw_guest.bin. Prints what holds and what failed. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "machine/data.h"
#include "raw_image.h"

#include "failing_calls.h"

#define FILES 3u
#define HUGE  0x200000ull
#define PAGE  UDFVM_PAGE_SIZE

static const uint64_t sizes[FILES] = { 5, HUGE + 3 * PAGE, PAGE };
static int files[FILES];
static udfvm_data *data;

/* Word `index` of file `file`. */
static uint64_t word_of(uint64_t file, uint64_t index)
{
    return (index + 1) * 0x9e3779b97f4a7c15ull ^ file;
}

static void write_file(uint64_t file)
{
    uint64_t words[PAGE / 8];
    for (uint64_t at = 0; at < sizes[file]; at += PAGE) {
        const uint64_t left = sizes[file] - at;
        for (uint64_t i = 0; i < PAGE / 8; i++)
            words[i] = word_of(file, at / 8 + i);
        check_number(pwrite(files[file], words, left < PAGE ? left : PAGE, (off_t)at) > 0,
                     "writing a file", (long)file);
    }
}

static bool is_intact(uint64_t file)
{
    uint64_t words[PAGE / 8];
    struct stat status;
    if (fstat(files[file], &status) < 0 || (uint64_t)status.st_size != sizes[file])
        return false;
    for (uint64_t at = 0; at < sizes[file]; at += PAGE) {
        const ssize_t got = pread(files[file], words, PAGE, (off_t)at);
        for (ssize_t i = 0; i < got / 8; i++)
            if (words[i] != word_of(file, at / 8 + (uint64_t)i))
                return false;
    }
    return true;
}

static void open_files(void)
{
    struct udfvm_data_source sources[FILES];
    static const char *const names[FILES] = { "small", "large", "a page" };
    struct udfvm_error error;
    for (uint64_t i = 0; i < FILES; i++) {
        files[i] = fileno(tmpfile());
        write_file(i);
        sources[i] = (struct udfvm_data_source){ names[i], files[i] };
    }
    data = udfvm_data_open(sources, FILES, &error);
    check(data != NULL, "opening data: %s", error.message);
}

static udfvm_vm *open_with_data(void)
{
    struct udfvm_error error;
    udfvm_vm *vm = open_vm(image);
    check(udfvm_vm_give_data(vm, data, &error) == UDFVM_OK, "giving data: %s", error.message);
    return vm;
}

/* Where a file lies, as the guest finds it in the directory. */
static uint64_t address_of(udfvm_vm *vm, uint64_t file)
{
    const uint64_t entry = UDFVM_DATA_BASE + offsetof(struct udfvm_data_directory, files) +
                           file * sizeof(struct udfvm_data_file);
    return CALL(vm, NULL, RAW_READ, entry).words[1];
}

static bool reads(udfvm_vm *vm, uint64_t address, uint64_t value)
{
    const struct outcome got = CALL(vm, NULL, RAW_READ, address);
    return got.code == 0 && got.words[0] == RAW_EXECUTED && got.words[1] == value;
}

static bool faults(const struct outcome got)
{
    return got.code == 0 && got.words[0] == RAW_FAULTED && got.words[1] == 14;
}

/* ---- Reading ---- */

static void check_reads(udfvm_vm *vm)
{
    const uint64_t large = address_of(vm, 1), page = address_of(vm, 2);
    check_number(reads(vm, UDFVM_DATA_BASE, FILES), "the directory", 0);
    check_number(reads(vm, large, word_of(1, 0)) &&
                     reads(vm, large + sizes[1] - 8, word_of(1, sizes[1] / 8 - 1)),
                 "the large file", 0);
    check_number(reads(vm, page, word_of(2, 0)), "the page", 0);
    check_number(reads(vm, address_of(vm, 0), word_of(0, 0) & 0xffffffffff), "five bytes", 0);
    check_number(reads(vm, large + sizes[1], 0) && reads(vm, page + HUGE - 8, 0), "zeros behind",
                 0);
}

static void test_all_vms_read(void)
{
    udfvm_vm *vms[3], *without = open_vm(image);
    for (int i = 0; i < 3; i++)
        vms[i] = open_with_data();
    for (int i = 0; i < 3; i++)
        check_reads(vms[i]);
    check_number(faults(CALL(vms[0], NULL, RAW_READ, address_of(vms[0], 2) + HUGE)),
                 "behind the last file", 0);
    check_number(faults(CALL(vms[0], NULL, RAW_READ, UDFVM_DATA_END - 8)), "the last address", 0);
    check_number(faults(CALL(without, NULL, RAW_READ, UDFVM_DATA_BASE)), "a VM without data", 0);
    for (int i = 0; i < 3; i++)
        udfvm_vm_close(vms[i]);
    udfvm_vm_close(without);
}

/* ---- Attacks: a guest that owns its kernel ---- */

static void attack(udfvm_vm *vm, uint64_t address)
{
    check_number(faults(CALL(vm, NULL, RAW_WRITE, address, 1)), "a write", (long)address);
    CALL(vm, NULL, RAW_FILL, address, address + 64, 1);
    for (uint64_t call = 1; call <= UDFVM_HYPERCALL_FILE_READLINK; call++) {
        /* The address wherever the host writes, or reads what it would write elsewhere. */
        CALL(vm, NULL, RAW_HYPERCALL, call, address, 8, address, 64, address, 64);
        CALL(vm, NULL, RAW_HYPERCALL, call, UDFVM_PROGRAM_BASE, 8, address, 64, address, 64);
        CALL(vm, NULL, RAW_HYPERCALL, call, address, address, 1, UDFVM_MAP_WRITE, 0, 0);
        CALL(vm, NULL, RAW_HYPERCALL, call, UDFVM_RESERVE_BASE, address, 1, UDFVM_MAP_WRITE, 0, 0);
    }
    for (uint64_t entry = 0; entry < RAW_ENTRIES; entry++)
        CALL(vm, NULL, RAW_STACK, entry, address + 64);
}

static void test_no_guest_writes(void)
{
    udfvm_vm *vm = open_with_data(), *other = open_with_data();
    const uint64_t large = address_of(vm, 1);
    const uint64_t addresses[] = { UDFVM_DATA_BASE,   UDFVM_DATA_BASE + PAGE, large,
                                   large + HUGE - 32, large + sizes[1] - 8,   large + sizes[1],
                                   address_of(vm, 0) };
    check_reads(vm); /* what is written is present, then, in whatever tables there are */
    for (size_t i = 0; i < sizeof addresses / 8; i++)
        attack(vm, addresses[i]);
    for (uint64_t i = 0; i < FILES; i++)
        check_number(is_intact(i), "a guest wrote to file", (long)i);
    check_reads(vm);
    check_reads(other);
    /* The same once KVM's VM was made anew. */
    for (uint64_t which = 0; which < RAW_PRIVILEGED_INSTRUCTIONS; which++)
        CALL(vm, NULL, RAW_PRIVILEGED, which);
    check_reads(vm);
    attack(vm, large);
    check_number(is_intact(1), "a guest wrote to a file", 1);
    udfvm_vm_close(vm);
    udfvm_vm_close(other);
}

/* ---- Others change a file ---- */

static void as_before(uint64_t file, const struct stat *before)
{
    const struct timespec times[2] = { before->st_atim, before->st_mtim };
    check_number(ftruncate(files[file], before->st_size) == 0, "growing a file", (long)file);
    write_file(file);
    check_number(futimens(files[file], times) == 0, "setting times", (long)file);
}

/* In a call's midst the guest finds nothing where the file was: the call fails, and nothing else.
 */
static void test_a_file_that_is_cut(void)
{
    udfvm_vm *vm = open_with_data();
    const uint64_t last = address_of(vm, 1) + HUGE;
    const uint64_t read[] = { RAW_READ, last };
    struct udfvm_reply reply;
    struct udfvm_error error;
    struct stat before;
    fstat(files[1], &before);
    for (int round = 0; round < 3; round++) {
        check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, read, sizeof read, NULL, &reply,
                                   &error) == UDFVM_OK,
                     "a call before", round);
        check_number(ftruncate(files[1], PAGE) == 0, "cutting", round);
        const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, read, sizeof read, NULL, &reply,
                                       &error);
        check(code == UDFVM_E_DATA && strstr(error.message, "'large'"),
              "reading what is cut: %d %s", code, error.message);
        check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", round);
        check_number(CALL(vm, NULL, RAW_READ, UDFVM_PROGRAM_BASE).code == UDFVM_E_DATA,
                     "the next call, which reads nothing of it", round);
        check_number(udfvm_data_check(data, NULL) == UDFVM_E_DATA, "asking", round);
        as_before(1, &before);
        check_number(udfvm_data_check(data, &error) == UDFVM_OK, "as before", round);
        check_reads(vm);
    }
    udfvm_vm_close(vm);
}

static void test_a_file_that_is_written(void)
{
    const struct timespec later[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1234567890 } };
    udfvm_vm *vm = open_with_data();
    struct stat before;
    fstat(files[2], &before);
    check_number(futimens(files[2], later) == 0, "another time", 0);
    const struct outcome got = CALL(vm, NULL, RAW_READ, UDFVM_PROGRAM_BASE);
    check(got.code == UDFVM_E_DATA && strstr(got.error.message, "was written"), "written: %d %s",
          got.code, got.error.message);
    as_before(2, &before);
    check_reads(vm);
    udfvm_vm_close(vm);
}

/* ---- Refused ---- */

static void refuse(const char *name, int fd, int code)
{
    const struct udfvm_data_source source = { name, fd };
    struct udfvm_error error = { .code = UDFVM_OK };
    check(!udfvm_data_open(&source, 1, &error) && error.code == code, "%s: %d %s", name, error.code,
          error.message);
    check_number(!udfvm_data_open(&source, 1, NULL), "nobody asks for the error", 0);
}

static void test_refusals(void)
{
    static const char long_name[UDFVM_MAX_DATA_NAME + 2] = { [0 ... UDFVM_MAX_DATA_NAME] = 'x' };
    const off_t most_bytes = (off_t)(UDFVM_DATA_END - UDFVM_DATA_BASE - HUGE);
    struct udfvm_data_source many[UDFVM_MAX_DATA_FILES + 1];
    FILE *empty = tmpfile();
    const int directory = open("/", O_RDONLY), written_only = open("/dev/null", O_WRONLY);
    udfvm_vm *vm = open_with_data();
    const char *const names[] = { "", ".", "..", "a/b", "/", long_name };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        refuse(names[i], files[0], UDFVM_E_ARGUMENT);
    refuse("empty", fileno(empty), UDFVM_E_DATA);
    refuse("directory", directory, UDFVM_E_DATA);
    refuse("device", written_only, UDFVM_E_DATA);
    refuse("closed", -1, UDFVM_E_SYSTEM);
    check_number(ftruncate(fileno(empty), most_bytes) == 0, "a sparse file", 0);
    const struct udfvm_data_source sparse = { "large", fileno(empty) };
    udfvm_data *most = udfvm_data_open(&sparse, 1, NULL);
    check_number(most != NULL, "as much as there may be", 0);
    udfvm_data_close(most);
    check_number(ftruncate(fileno(empty), most_bytes + 1) == 0, "a sparse file", 1);
    refuse("too large", fileno(empty), UDFVM_E_DATA);
    for (unsigned i = 0; i <= UDFVM_MAX_DATA_FILES; i++)
        many[i] = (struct udfvm_data_source){ "same", files[0] };
    check_number(!udfvm_data_open(many, 0, NULL), "none", 0);
    check_number(udfvm_data_check_processor(39, NULL) == UDFVM_OK, "addresses of bits", 39);
    check_number(udfvm_data_check_processor(38, NULL) == UDFVM_E_DATA, "addresses of bits", 38);
    check_number(!udfvm_data_open(many, UDFVM_MAX_DATA_FILES + 1, NULL), "too many", 0);
    check_number(udfvm_vm_give_data(vm, data, NULL) == UDFVM_E_ARGUMENT, "given twice", 0);
    udfvm_data_close(NULL);
    udfvm_vm_close(vm);
    close(directory);
    close(written_only);
    fclose(empty);
}

/* ---- Failures, one step after the other ---- */

static void test_each_step_fails(void)
{
    const struct udfvm_data_source source = { "large", files[1] };
    const int first_free = dup(0);
    const long mapped = mapped_bytes;
    close(first_free);
    for (long step = 0;; step++) {
        udfvm_vm *vm = open_vm(image);
        left = step;
        failed = false;
        udfvm_data *made = udfvm_data_open(&source, 1, NULL);
        const int code = made ? udfvm_vm_give_data(vm, made, NULL) : UDFVM_E_SYSTEM;
        left = -1;
        if (code == UDFVM_OK)
            check_number(reads(vm, UDFVM_DATA_BASE, 1), "the directory", step);
        udfvm_vm_close(vm);
        udfvm_data_close(made);
        const int free_now = dup(0);
        close(free_now);
        check_number(free_now == first_free, "a descriptor is left", step);
        if (!failed)
            break;
    }
    check_number(mapped_bytes == mapped, "memory is left", mapped_bytes - mapped);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "all VMs read", test_all_vms_read },
        { "no guest writes", test_no_guest_writes },
        { "a file that is cut", test_a_file_that_is_cut },
        { "a file that is written", test_a_file_that_is_written },
        { "refusals", test_refusals },
        { "each step fails", test_each_step_fails },
    };
    open_files();
    const int code = run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
    udfvm_data_close(data);
    return code || failures;
}
