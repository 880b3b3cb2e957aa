/* The reserve: pages of program memory at further addresses, for one call or sealed; what a hostile
 * guest, or the author of an image, asks for in vain. Usage: test_reserve raw_guest.bin */
#include <errno.h>
#include <sys/stat.h>

#include "base/pages.h"
#include "call/vm.h"
#include "image/image.h"
#include "raw_image.h"

#define HERE   (UDFVM_RESERVE_BASE + (5ull << 30) - PAGE) /* pages on both sides of a GiB's end */
#define FRAMES (8ull << 20)
#define OTHERS (12ull << 20)

/* One exchange of a call that goes on. */
static struct outcome step(udfvm_vm *vm, uint32_t request, const uint64_t *words, size_t count)
{
    static const struct udfvm_limits usual = { .timeout_ns = 20000000000 };
    struct outcome got = { .code = 0 };
    struct udfvm_reply reply;
    got.code = udfvm_vm_call(vm, request, words, count * 8, &usual, &reply, &got.error);
    if (got.code == 0 && reply.data)
        memcpy(got.words, reply.data, 4 * sizeof *got.words); /* some replies tell no length */
    return got;
}
#define STEP(vm, ...)                                              \
    step(vm, UDFVM_REQUEST_ROW, (const uint64_t[]){ __VA_ARGS__ }, \
         sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)

static int64_t map(udfvm_vm *vm, uint64_t virtual, uint64_t frame, uint64_t pages, uint64_t access)
{
    const struct outcome got = STEP(vm, RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, virtual, frame, pages,
                                    access, 0, 0);
    check(got.code == 0, "mapping: %s", got.error.message);
    return (int64_t)got.words[0];
}

static void restore(udfvm_vm *vm)
{
    struct udfvm_error error;
    check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "restore: %s", error.message);
}

/* The fault ends the call: the raw guest does not go on after one. */
static bool faults(udfvm_vm *vm, uint64_t address, bool writing)
{
    const struct outcome got = writing ? STEP(vm, RAW_WRITE, address, 1)
                                       : STEP(vm, RAW_READ, address);
    check(got.code == 0, "an access: %s", got.error.message);
    restore(vm);
    return got.words[0] == RAW_FAULTED && got.words[3] == address;
}

static uint64_t word_at(udfvm_vm *vm, uint64_t address)
{
    const struct outcome got = STEP(vm, RAW_READ, address);
    check(got.code == 0 && got.words[0] == RAW_EXECUTED, "reading %#llx",
          (unsigned long long)address);
    return got.words[1];
}

static void write_word(udfvm_vm *vm, uint64_t address, uint64_t value)
{
    const struct outcome got = STEP(vm, RAW_WRITE, address, value);
    check(got.code == 0 && got.words[0] == RAW_EXECUTED, "writing %#llx",
          (unsigned long long)address);
}

static void use_and_move(udfvm_vm *vm, uint64_t frames)
{
    check(map(vm, HERE, frames, 3, UDFVM_MAP_WRITE) == 0, "three pages");
    for (uint64_t page = 0; page < 3; page++) {
        check(word_at(vm, HERE + page * PAGE) == 0, "an earlier call's word");
        write_word(vm, HERE + page * PAGE, 77 + page);
        check(word_at(vm, frames + page * PAGE) == 77 + page, "a page is at another frame");
    }
    check(map(vm, HERE, frames + 2 * PAGE, 1, UDFVM_MAP_WRITE) == 0 && word_at(vm, HERE) == 79,
          "a page that moves to another frame");
    check(map(vm, HERE, frames, 2, UDFVM_MAP_READ) == 0 && word_at(vm, HERE) == 77 &&
              word_at(vm, HERE + PAGE) == 78,
          "pages that can only be read");
    check(map(vm, HERE, frames, 1, UDFVM_MAP_WRITE) == 0, "one of them can be written again");
    write_word(vm, HERE, 80);
    check(map(vm, HERE + 2 * PAGE, 0, 1, UDFVM_MAP_NOTHING) == 0 &&
              word_at(vm, frames + 2 * PAGE) == 79,
          "a page that was taken away");
}

/* Each call finds nothing of the one before. */
static void test_a_call_maps_for_itself(void)
{
    udfvm_vm *vm = open_vm(image);
    for (uint64_t round = 0; round < 4; round++) {
        const uint64_t frames = round % 2 ? OTHERS : FRAMES;
        use_and_move(vm, frames);
        check(faults(vm, HERE + PAGE, true), "writing to what can only be read");
        check(faults(vm, HERE, false) && faults(vm, HERE + PAGE, true),
              "what an earlier call mapped is there");
        check(word_at(vm, frames) == 0 && word_at(vm, frames + 2 * PAGE) == 0,
              "what was written by way of the reserve stays");
        restore(vm);
        use_and_move(vm, frames);
        check(faults(vm, HERE + 2 * PAGE, false), "reading what was taken away");
    }
    udfvm_vm_close(vm);
}

static void test_nothing_else_can_be_mapped(void)
{
    const uint64_t guard_end = MEMORY - udfvm_stack_bytes(MEMORY),
                   guard = guard_end - UDFVM_STACK_GUARD, most = UINT64_MAX / PAGE;
    const struct {
        uint64_t virtual, frame, pages, access;
    } refused[] = {
        { HERE, 0, 1, UDFVM_MAP_WRITE },
        { HERE, UDFVM_KERNEL_BASE, 1, UDFVM_MAP_READ },
        { HERE, UDFVM_PROGRAM_BASE - PAGE, 2, UDFVM_MAP_READ },
        { HERE, guard, 1, UDFVM_MAP_WRITE },
        { HERE, guard - PAGE, 2, UDFVM_MAP_WRITE },
        { HERE, guard_end - PAGE, 2, UDFVM_MAP_WRITE },
        { HERE, MEMORY, 1, UDFVM_MAP_WRITE },
        { HERE, MEMORY - PAGE, 2, UDFVM_MAP_WRITE },
        { HERE, MEMORY + WINDOW, 1, UDFVM_MAP_WRITE },
        { HERE, UDFVM_OUTPUT_BASE, 1, UDFVM_MAP_WRITE },
        { HERE, FRAMES + 8, 1, UDFVM_MAP_WRITE },
        { HERE, FRAMES, most, UDFVM_MAP_WRITE },
        { HERE, FRAMES, UINT64_MAX, UDFVM_MAP_WRITE },
        { HERE, FRAMES, 1ull << 52, UDFVM_MAP_WRITE },
        { HERE, -PAGE, 2, UDFVM_MAP_WRITE },
        { HERE, FRAMES, 1, 3 },
        { HERE, FRAMES, 1, UINT64_MAX },
        { HERE + 1, FRAMES, 1, UDFVM_MAP_WRITE },
        { UDFVM_RESERVE_BASE - PAGE, FRAMES, 2, UDFVM_MAP_WRITE },
        { UDFVM_RESERVE_END - PAGE, FRAMES, 2, UDFVM_MAP_WRITE },
        { UDFVM_RESERVE_END, FRAMES, 1, UDFVM_MAP_WRITE },
        { 0, FRAMES, 1, UDFVM_MAP_WRITE },
        { UDFVM_PROGRAM_BASE, FRAMES, 1, UDFVM_MAP_WRITE },
        { UDFVM_PROGRAM_BASE, 0, 1, UDFVM_MAP_NOTHING },
        { UDFVM_INPUT_BASE, FRAMES, 1, UDFVM_MAP_WRITE },
        { UDFVM_OUTPUT_BASE, 0, 1, UDFVM_MAP_NOTHING },
        { 1ull << 39, FRAMES, 1, UDFVM_MAP_WRITE },
        { -PAGE, FRAMES, 2, UDFVM_MAP_WRITE },
        { UDFVM_RESERVE_BASE, 0, most, UDFVM_MAP_NOTHING },
    };
    udfvm_vm *vm = open_vm(image);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
            check(map(vm, refused[i].virtual, refused[i].frame, refused[i].pages,
                      refused[i].access) == -EINVAL,
                  "mapping %zu is not refused", i);
        check(faults(vm, HERE, false), "something is mapped");
        check(map(vm, HERE, guard_end, (MEMORY - guard_end) / PAGE, UDFVM_MAP_WRITE) == 0 &&
                  map(vm, HERE, FRAMES, 1, UDFVM_MAP_WRITE) == 0,
              "what there is can be mapped");
        check(map(vm, UDFVM_RESERVE_BASE, 0, (UDFVM_RESERVE_END - UDFVM_RESERVE_BASE) / PAGE,
                  UDFVM_MAP_NOTHING) == 0 &&
                  faults(vm, HERE, false),
              "all of the reserve can be taken away");
    }
    udfvm_vm_close(vm);
}

/* A page here, a page there: the host's tables come to an end, for that call. */
static void test_tables_end(void)
{
    udfvm_vm *vm = open_vm(image);
    for (int round = 0; round < 2; round++) {
        int64_t got = 0;
        uint64_t at = UDFVM_RESERVE_BASE, tables = 0;
        for (; got == 0 && tables < 1000; at += HUGE_PAGE, tables++)
            got = map(vm, at, FRAMES, 1, UDFVM_MAP_WRITE);
        check(got == -ENOMEM, "a mapping beyond the tables: %d", (int)got);
        write_word(vm, UDFVM_RESERVE_BASE, 5);
        check(word_at(vm, UDFVM_RESERVE_BASE + 3 * HUGE_PAGE) == 5, "a frame at two addresses");
        restore(vm);
        check(faults(vm, UDFVM_RESERVE_BASE, true) && word_at(vm, FRAMES) == 0, "the next call");
        restore(vm);
    }
    udfvm_vm_close(vm);
}

/* A layer that has three pages mapped, of which the last can only be read. */
static udfvm_image *layer_with_pages(void)
{
    struct outcome got;
    udfvm_vm *vm = open_vm(image);
#define LOAD(...)                                                   \
    step(vm, UDFVM_REQUEST_LOAD, (const uint64_t[]){ __VA_ARGS__ }, \
         sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)
    got = LOAD(RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, HERE, OTHERS, 3, UDFVM_MAP_WRITE, 0, 0);
    check(got.code == 0 && got.words[0] == 0, "mapping before the seal");
    LOAD(RAW_WRITE, HERE, 31);
    LOAD(RAW_WRITE, HERE + PAGE, 32);
    LOAD(RAW_WRITE, HERE + 2 * PAGE, 33);
    LOAD(RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, HERE + 2 * PAGE, OTHERS + 2 * PAGE, 1, UDFVM_MAP_READ,
         0, 0);
    got = LOAD(RAW_SEAL, 7);
    check(got.code == 0, "sealing: %s", got.error.message);
    udfvm_image *made = sealed(vm, image, "layer");
    udfvm_vm_close(vm);
    return made;
}

static void check_sealed_pages(udfvm_vm *vm, const char *when)
{
    for (int round = 0; round < 3; round++) {
        check(word_at(vm, HERE) == 31 && word_at(vm, HERE + PAGE) == 32 &&
                  word_at(vm, HERE + 2 * PAGE) == 33 && faults(vm, HERE + 2 * PAGE, true),
              "%s, call %d: the sealed pages", when, round);
        write_word(vm, HERE, 1);
        check(map(vm, HERE + PAGE, FRAMES, 2, UDFVM_MAP_WRITE) == 0 &&
                  word_at(vm, HERE + PAGE) == 0,
              "%s: mapping over sealed pages", when);
        write_word(vm, HERE + 2 * PAGE, 2);
        check(map(vm, HERE, 0, 1, UDFVM_MAP_NOTHING) == 0 && faults(vm, HERE, false),
              "%s: taking a sealed page away", when);
    }
}

static void test_sealed_pages(void)
{
    struct udfvm_error error;
    udfvm_image *pages = layer_with_pages(), *plain = layer(3);
    udfvm_vm *vm = open_vm(pages);
    check_sealed_pages(vm, "opened");
    check(udfvm_vm_bind(vm, plain, &error) == UDFVM_OK && faults(vm, HERE, false) &&
              faults(vm, HERE + PAGE, true),
          "what another layer mapped");
    check(udfvm_vm_bind(vm, pages, &error) == UDFVM_OK, "bind: %s", error.message);
    check_sealed_pages(vm, "bound");
    write_word(vm, HERE, 1);
    vm->unfit = true; /* the hypervisor's VM: a new one takes its place */
    restore(vm);
    check_sealed_pages(vm, "renewed");
    udfvm_vm_close(vm);
    udfvm_image_close(plain);
    udfvm_image_close(pages);
}

/* The host reads and writes what lies in pieces, one page at a time. */
static void test_addresses_for_the_host(void)
{
    udfvm_vm *vm = open_vm(image);
    const uint64_t text = 0x6261626162616261, other = 0x6463646364636463;
    check(map(vm, HERE, OTHERS, 1, UDFVM_MAP_WRITE) == 0 &&
              map(vm, HERE + PAGE, FRAMES, 1, UDFVM_MAP_READ) == 0,
          "two pages");
    write_word(vm, HERE + PAGE - 8, text);
    write_word(vm, FRAMES, other);
    char read[16] = "";
    uint64_t length = 16;
    const struct machine *machine = &vm->machine;
    check(udfvm_machine_read(machine, HERE + PAGE - 8, read, 16) &&
              memcmp(read, "abababababababab", 8) == 0 && memcmp(read + 8, "cdcdcdcd", 8) == 0,
          "reading in pieces");
    check(udfvm_machine_piece(machine, HERE + PAGE - 8, &length) ==
                  machine->memory + OTHERS - SYSTEM_SIZE + PAGE - 8 &&
              length == 8,
          "a piece");
    check(!udfvm_machine_address(machine, HERE + PAGE - 8, 16) &&
              !udfvm_machine_read(machine, HERE + 2 * PAGE - 8, read, 16) &&
              !udfvm_machine_address(machine, HERE + 2 * PAGE, 1) &&
              !udfvm_machine_address(machine, UDFVM_RESERVE_END - 1, 1) &&
              !udfvm_machine_address(machine, UDFVM_RESERVE_BASE - 1, 1),
          "addresses where nothing is");
    check(udfvm_span_write(&vm->memory, HERE + PAGE - 4, "12345678", 8) == 0 &&
              word_at(vm, FRAMES) == 0x6463646338373635,
          "writing in pieces");
    const struct outcome logged = STEP(vm, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, HERE, 16);
    check(logged.code == 0 && logged.words[0] == 0, "output from there");
    restore(vm);
    check(word_at(vm, FRAMES) == 0 && !udfvm_machine_address(machine, HERE, 1), "the next call");
    restore(vm);
    udfvm_vm_close(vm);
}

static void forge(int fd, const struct image_header *header, const struct reserve_run *runs,
                  uint64_t count, const char *what)
{
    static struct image_header forged;
    struct udfvm_error error;
    forged = *header;
    forged.run_count = count;
    udfvm_image_header_digest(&forged, forged.digest);
    const ssize_t bytes = (ssize_t)(2 * sizeof *runs);
    check(pwrite(fd, &forged, sizeof forged, 0) == (ssize_t)sizeof forged &&
              pwrite(fd, runs, (size_t)bytes, (off_t)header->runs_offset) == bytes,
          "writing");
    udfvm_image *opened = udfvm_image_open(fd, image, &error);
    check(!opened && error.code == UDFVM_E_IMAGE, "an image with %s opens", what);
    udfvm_image_close(opened);
}

static void test_forged_images(void)
{
    static struct image_header header;
    const uint64_t guard = MEMORY - udfvm_stack_bytes(MEMORY) - PAGE;
    const struct reserve_run good = { HERE, FRAMES, 2, UDFVM_MAP_WRITE },
                             next = { HERE + 2 * PAGE, OTHERS, 1, UDFVM_MAP_READ };
    const struct {
        struct reserve_run runs[2];
        const char *what;
    } forged[] = {
        { { { HERE, UDFVM_KERNEL_BASE, 1, 2 }, next }, "pages of the guest kernel" },
        { { { HERE, 0, 1, 2 }, next }, "pages of the system area" },
        { { { HERE, guard, 1, 1 }, next }, "pages of the guard" },
        { { { HERE, MEMORY, 1, 2 }, next }, "pages of the output window" },
        { { { HERE, FRAMES, UINT64_MAX, 2 }, next }, "too many pages" },
        { { { HERE, FRAMES, 1ull << 52, 2 }, next }, "pages that overflow" },
        { { { HERE, FRAMES, 0, 2 }, next }, "no pages" },
        { { { HERE, FRAMES, 1, 0 }, next }, "no access" },
        { { { HERE, FRAMES, 1, 7 }, next }, "any access" },
        { { { HERE, FRAMES + 1, 1, 2 }, next }, "half a page" },
        { { { HERE + 1, FRAMES, 1, 2 }, next }, "an address within a page" },
        { { good, { HERE + PAGE, OTHERS, 1, 2 } }, "runs that overlap" },
        { { next, good }, "runs out of order" },
        { { good, good }, "a run twice" },
        { { { UDFVM_RESERVE_BASE - PAGE, FRAMES, 1, 2 }, next }, "an address before the reserve" },
        { { good, { UDFVM_RESERVE_END, FRAMES, 1, 2 } }, "an address behind the reserve" },
        { { good, { UDFVM_PROGRAM_BASE, FRAMES, 1, 2 } }, "an address in program memory" },
    };
    udfvm_image *pages = layer_with_pages();
    FILE *file = tmpfile();
    check(file && pwrite(fileno(file), pages->header, pages->mapped, 0) == (ssize_t)pages->mapped,
          "copying the image");
    header = *pages->header;
    check(header.run_count == 2, "%d runs", (int)header.run_count);
    for (size_t i = 0; file && i < sizeof forged / sizeof *forged; i++)
        forge(fileno(file), &header, forged[i].runs, 2, forged[i].what);
    if (file) {
        forge(fileno(file), &header, forged[0].runs, UINT64_MAX, "runs beyond all numbers");
        forge(fileno(file), &header, forged[0].runs, 1ull << 60, "runs beyond the file");
        fclose(file);
    }
    udfvm_image_close(pages);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "mapping in calls", test_a_call_maps_for_itself },
        { "refusals", test_nothing_else_can_be_mapped },
        { "tables", test_tables_end },
        { "sealed pages", test_sealed_pages },
        { "addresses", test_addresses_for_the_host },
        { "forged images", test_forged_images },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
