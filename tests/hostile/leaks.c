/* Two tenants share a VM. A call of one leaves a mark wherever a guest, or the host for it, can
 * write, and ends in any way. The next call, of either, searches what a guest can read; the host
 * compares what it has of the VM with the image. Usage: leaks raw_guest.bin COUNT [SEED]. Prints
 * what failed. docs/security.md lists what can be written. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>

#include "image/image.h"
#include "leak_steps.h"

#define TENANTS      3             /* the base image, and two layers of it */
#define MEMORY_EVERY 64u           /* runs between two searches of all memory by the guest */
#define NEAR         (64ull << 10) /* of program memory, what it searches in the other runs */
#define ENTRIES      512u          /* of the page map, read at a time */
#define SEALED_PAGES 2u            /* of the reserve, by the last layer */
#define SEALED_WORD  0x5ea1edull   /* in them */
#define TO_TABLE     0x67ull       /* an entry that leads to a table: see reserve.c */

static udfvm_image *tenants[TENANTS];
static struct snapshot fresh[TENANTS];
static uint8_t system_area[TENANTS][2][SYSTEM_SIZE]; /* [unlogged memory is open] */
static udfvm_pool *pool;
static int pagemap;
static struct seeds {
    uint64_t seed, random;
} *seeds;
static unsigned long seeds_seen, marked[RAW_PLACES], stepped[STEPS], ended[LASTS], codes[32];

/* ---- Images ---- */

static int load(udfvm_vm *vm, const uint64_t words[8], struct udfvm_error *error)
{
    struct udfvm_reply reply;
    return udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, words, 8 * sizeof *words, NULL, &reply, error);
}

/* Layers differ in memory, in the bases of segments, and in what they map of the reserve. */
static udfvm_image *layer_of(udfvm_image *base, uint64_t number, uint64_t pages)
{
    const uint64_t map[8] = { RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, RESERVED, FAR,
                              pages,         UDFVM_MAP_WRITE },
                   fill[8] = { RAW_FILL, RESERVED, RESERVED + pages * PAGE, SEALED_WORD },
                   seal[8] = { RAW_SEAL, number, number * PAGE };
    struct udfvm_error error;
    udfvm_vm *vm = open_vm();
    FILE *file = tmpfile();
    udfvm_image *made = NULL;
    if (load(vm, map, &error) == UDFVM_OK && load(vm, fill, &error) == UDFVM_OK &&
        load(vm, seal, &error) == UDFVM_OK &&
        udfvm_vm_seal(vm, fileno(file), "tenant", 6, &error) == UDFVM_OK)
        made = udfvm_image_open(fileno(file), base, &error);
    fclose(file);
    udfvm_vm_close(vm);
    if (!made) {
        printf("cannot seal a layer: %s\n", error.message);
        exit(1);
    }
    return made;
}

/* The bases of FS and GS are the last but for the selectors of what the guest tells. */
static void check_bases(const struct snapshot *told, const struct sealed_state *sealed)
{
    const uint64_t *end = (const uint64_t *)(told->seen + told->seen_length);
    check(end[-8] == sealed->fs_base && end[-7] == sealed->gs_base, "the bases of a fresh call");
}

/* What each tenant's calls begin with, told by VMs that no other has used. */
static void look_at_fresh_tenants(void)
{
    for (int who = 0; who < TENANTS; who++) {
        struct udfvm_error error;
        udfvm_vm *vm = udfvm_vm_open(tenants[who], &marked_files, &error);
        if (!vm) {
            printf("cannot open a VM: %s\n", error.message);
            exit(1);
        }
        observe(vm, &fresh[who]);
        forget_selectors(&fresh[who]);
        check_bases(&fresh[who], &tenants[who]->header->state);
        memcpy(system_area[who][0], vm->machine.system, SYSTEM_SIZE);
        EXCHANGE(vm, &patient, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
        check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "restore: %s", error.message);
        memcpy(system_area[who][1], vm->machine.system, SYSTEM_SIZE);
        udfvm_vm_close(vm);
    }
}

/* ---- What the host has of a VM that is restored ---- */

/* What leads to the tables of the reserve stays: they map what the image maps, or nothing. */
static bool leads_to_reserve(const struct machine *machine, uint64_t entry)
{
    const struct reserve *reserve = &machine->reserve;
    return (entry & ~RESERVE_FRAME) == TO_TABLE &&
           (entry & RESERVE_FRAME) - reserve->physical < reserve->capacity * PAGE;
}

static bool is_as_it_was(const udfvm_vm *vm, uint64_t page)
{
    const uint8_t *is = vm->machine.memory + page * UDFVM_PAGE_SIZE,
                  *was = page < vm->machine.memory_bytes / UDFVM_PAGE_SIZE
                             ? udfvm_image_page(vm->memory.image, (uint32_t)page)
                             : NULL;
    return was ? memcmp(is, was, UDFVM_PAGE_SIZE) == 0 : udfvm_page_is_zero(is);
}

/* A page that is neither in memory nor swapped out was never written, or is dropped: it is what the
 * file has, or zeros. */
static void compare_memory(const udfvm_vm *vm, unsigned long run)
{
    const struct machine *machine = &vm->machine;
    const uint64_t first = (uintptr_t)machine->memory / UDFVM_PAGE_SIZE,
                   pages = (machine->memory_bytes + UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes) /
                           UDFVM_PAGE_SIZE;
    uint64_t entries[ENTRIES];
    for (uint64_t page = 0; page < pages; page++) {
        if (page % ENTRIES == 0 &&
            pread(pagemap, entries, sizeof entries, (off_t)((first + page) * sizeof *entries)) !=
                sizeof entries)
            memset(entries, 0xff, sizeof entries);
        check(entries[page % ENTRIES] >> 62 == 0 || is_as_it_was(vm, page),
              "run %lu: page %#llx of guest memory is not as it was", run,
              (unsigned long long)page);
    }
}

static void compare_system_area(const udfvm_vm *vm, int who, unsigned long run)
{
    const uint64_t *is = (const uint64_t *)vm->machine.system,
                   *was = (const uint64_t *)system_area[who][vm->machine.unlogged_open];
    for (size_t i = 0; i < SYSTEM_SIZE / sizeof *is; i++)
        check(is[i] == was[i] || leads_to_reserve(&vm->machine, is[i]),
              "run %lu: the system area is not as it was at %#zx", run, i * sizeof *is);
    check(udfvm_reserve_is_expected(&vm->machine), "run %lu: the reserve is mapped", run);
}

/* Behind a call's own request there is nothing, as it is entered and afterwards. */
static void compare_input(const udfvm_vm *vm, const void *request, size_t length, unsigned long run)
{
    const uint8_t *input = vm->machine.input;
    const uint64_t payload = UDFVM_INPUT_PAYLOAD - UDFVM_INPUT_BASE;
    uint64_t left = 0;
    check(memcmp(input + payload, request, length) == 0, "run %lu: the request", run);
    for (uint64_t i = sizeof(struct udfvm_call); i < payload; i++)
        left += input[i] != 0;
    for (uint64_t i = payload + length; i < vm->machine.input_bytes; i++)
        left += input[i] != 0;
    check(left == 0, "run %lu: %llu bytes of an earlier request", run, (unsigned long long)left);
}

/* ---- Randomness ---- */

static void note_seeds(const udfvm_vm *vm)
{
    const struct udfvm_call *call = (const struct udfvm_call *)vm->machine.input;
    struct seeds *now = &seeds[seeds_seen++];
    memcpy(&now->seed, call->seed, sizeof now->seed);
    memcpy(&now->random, call->random, sizeof now->random);
}

static int by_seed(const void *left, const void *right)
{
    const uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;
    return (one > other) - (one < other);
}

static void check_seeds(void)
{
    uint64_t *drawn = malloc(2 * seeds_seen * sizeof *drawn);
    for (unsigned long i = 0; drawn && i < seeds_seen; i++) {
        drawn[2 * i] = seeds[i].seed;
        drawn[2 * i + 1] = seeds[i].random;
    }
    if (drawn)
        qsort(drawn, 2 * seeds_seen, sizeof *drawn, by_seed);
    for (unsigned long i = 1; drawn && i < 2 * seeds_seen; i++)
        check(drawn[i] != drawn[i - 1], "randomness of a call came again");
    free(drawn);
}

/* ---- A run ---- */

static bool interrupts; /* the call: others may take long, too, and are asked about then */

static int interrupt(void)
{
    return interrupts;
}

static void nothing(int number)
{
    (void)number;
}

static void set_timer(long microseconds)
{
    const struct itimerval timer = { .it_value.tv_usec = microseconds };
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Several exchanges, until one fails. */
static void mark_all(udfvm_vm *vm, enum last last, uint64_t places)
{
    int code = UDFVM_OK;
    for (uint64_t steps = below(4); steps && code == UDFVM_OK; steps--) {
        const enum step step = (enum step)below(STEPS);
        stepped[step]++;
        code = take_step(vm, step);
    }
    for (int place = 0; place < RAW_PLACES; place++)
        marked[place] += places >> place & 1;
    const uint64_t how = last == LAST_GUEST ? below(RAW_ENDS) : RAW_END_COMPLETE;
    const struct udfvm_limits *limits = how == RAW_END_COMPLETE ? &patient : &hasty;
    if (code == UDFVM_OK)
        code = EXCHANGE(vm, limits, RAW_TAINT, places, below(4) ? mark : 0, any(), how, MEMORY);
    interrupts = last == LAST_INTERRUPT;
    if (interrupts)
        set_timer(2000);
    if (code == UDFVM_OK)
        code = end_call(vm, last);
    set_timer(0);
    interrupts = false;
    ended[last]++;
    codes[code % 32]++;
}

/* Ranges of guest addresses: all of it, or the ends of its parts. */
static size_t fill_search(uint64_t *words, uint64_t seed, bool all, bool unlogged)
{
    const uint64_t near = all ? MEMORY : NEAR,
                   unlogged_end = UDFVM_OUTPUT_BASE + WINDOW + (unlogged ? SCRATCH_BYTES : 0),
                   ranges[][2] = {
                       { UDFVM_KERNEL_BASE, UDFVM_PROGRAM_BASE },
                       { UDFVM_PROGRAM_BASE, UDFVM_PROGRAM_BASE + near },
                       { MEMORY - udfvm_stack_bytes(MEMORY), MEMORY },
                       { UDFVM_INPUT_BASE + sizeof(struct udfvm_call), UDFVM_INPUT_BASE + WINDOW },
                       { UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT },
                       { UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT, unlogged_end },
                   };
    const size_t count = WORDS_OF(ranges) - !unlogged;
    const uint64_t program_end = MEMORY - udfvm_stack_bytes(MEMORY) - UDFVM_STACK_GUARD;
    words[0] = RAW_SEARCH;
    words[1] = ~mark;
    words[2] = ~seed;
    words[3] = count;
    words[4] = unlogged;
    memcpy(words + 5, ranges, count * sizeof *ranges);
    if (words[8] > program_end)
        words[8] = program_end;
    return 5 + 2 * count;
}

static void search_all(udfvm_vm *vm, uint64_t seed, bool all, unsigned long run)
{
    uint64_t words[32];
    struct udfvm_reply reply;
    struct udfvm_error error;
    const size_t count = fill_search(words, seed, all, vm->machine.unlogged_open || below(8) == 0);
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, words, count * 8, &patient, &reply,
                                   &error);
    check(code == UDFVM_OK && reply.length == 16, "run %lu: the search: %s", run, error.message);
    if (code != UDFVM_OK)
        return;
    const uint64_t *found = reply.data;
    check(found[0] == 0, "run %lu: the next call finds %llu marks, the first at %#llx", run,
          (unsigned long long)found[0], (unsigned long long)found[1]);
    check(reply.log_length == 0, "run %lu: output of the call before", run);
    compare_input(vm, words, count * 8, run);
    note_seeds(vm);
}

/* A file that the call before opened, and what that mapped. The last can end the call. */
static void search_elsewhere(udfvm_vm *vm, int who, unsigned long run)
{
    const uint64_t file[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, FAR, 8, 0, 0 },
                   read[] = { RAW_READ, reserved };
    const bool sealed = who == TENANTS - 1 && reserved >= RESERVED &&
                        reserved < RESERVED + SEALED_PAGES * PAGE;
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t *words = NULL;
    if (udfvm_vm_call(vm, UDFVM_REQUEST_ROW, file, sizeof file, &patient, &reply, &error) ==
        UDFVM_OK)
        words = reply.data;
    check(words && (int64_t)words[0] == -EBADF, "run %lu: a file is open", run);
    if (!words || !reserved)
        return;
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, read, sizeof read, &patient, &reply,
                                   &error);
    words = reply.data;
    check(code == UDFVM_OK && words[0] == (sealed ? RAW_EXECUTED : RAW_FAULTED) &&
              (!sealed || words[1] == SEALED_WORD),
          "run %lu: what is at %#llx of the reserve", run, (unsigned long long)reserved);
}

static udfvm_vm *take(int who, unsigned long run)
{
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_pool_take(pool, tenants[who], 0, &error);
    if (!vm) {
        printf("run %lu: cannot take a VM: %s\n", run, error.message);
        exit(1);
    }
    return vm;
}

static void look_at_processor(udfvm_vm *vm, int who, unsigned long run)
{
    observe(vm, &present);
    forget_selectors(&present);
    compare(&fresh[who], &present, "run", (int)run, who);
}

static void run_once(unsigned long run)
{
    const enum last last = below(2) ? LAST_GUEST : (enum last)below(LASTS);
    const int first = (int)below(TENANTS), second = (int)below(TENANTS);
    udfvm_vm *vm = take(first, run);
    mark = any() | 1;
    reserved = 0;
    prctl(PR_SET_THP_DISABLE, below(4) == 0, 0, 0, 0); /* then marks are far apart for the host */
    mark_all(vm, last, below(4) ? any() : ~0ull);
    uint64_t seed;
    memcpy(&seed, ((const struct udfvm_call *)vm->machine.input)->seed, sizeof seed);
    udfvm_pool_give(pool, vm);
    if (below(16) == 0)
        udfvm_pool_shrink_old(pool, 0);
    vm = take(second, run);
    compare_system_area(vm, second, run);
    if (below(2)) { /* else an entry must wait until all is zero */
        check(udfvm_unlogged_settle(&vm->memory, NULL) == UDFVM_OK, "run %lu: settle", run);
        compare_memory(vm, run);
    }
    if (below(2))
        look_at_processor(vm, second, run);
    else
        search_all(vm, seed, below(MEMORY_EVERY) == 0, run);
    search_elsewhere(vm, second, run);
    udfvm_pool_give(pool, vm);
}

static void print_counts(const char *what, const unsigned long *counts, size_t count)
{
    printf("(%s:", what);
    for (size_t i = 0; i < count; i++)
        printf(" %lu", counts[i]);
    printf(")\n");
}

static void prepare(const char *raw_guest, unsigned long runs)
{
    struct udfvm_error error;
    signal(SIGALRM, nothing);
    udfvm_set_interrupt_hook(interrupt);
    build(raw_guest);
    tenants[0] = image;
    tenants[1] = layer_of(image, 100, 0);
    tenants[2] = layer_of(image, 200, SEALED_PAGES);
    look_at_fresh_tenants();
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    seeds = calloc(runs + 1, sizeof *seeds);
    pool = udfvm_pool_create(image, 1, &marked_files, &error);
    check(pagemap >= 0 && seeds && pool, "nothing to run with");
}

static void tell(void)
{
    print_counts("marked", marked, RAW_PLACES);
    print_counts("steps", stepped, STEPS);
    print_counts("last", ended, LASTS);
    print_counts("codes", codes, WORDS_OF(codes));
    printf("leaks: %s\n", failures ? "FAILED" : "holds");
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    const unsigned long runs = strtoul(arguments[2], NULL, 10);
    state = count > 3 ? strtoull(arguments[3], NULL, 0) : 0x13198a2e03707344ull;
    prepare(arguments[1], runs);
    for (unsigned long run = 0; run < runs && failures == 0; run++) {
        const uint64_t before = state;
        run_once(run);
        if (failures)
            printf("the last run alone: %s %s 1 %#llx\n", arguments[0], arguments[1],
                   (unsigned long long)before);
    }
    check_seeds();
    udfvm_pool_close(pool);
    for (int who = 0; who < TENANTS; who++)
        udfvm_image_close(tenants[who]);
    tell();
    return failures != 0;
}
