/* VMs whose calls end otherwise than a guest's should: closed or kept, and the next call is right.
 * Usage: test_exits raw_guest.bin. Prints what failed. */
#include <pthread.h>
#include <signal.h>
#include "snapshot.h"

static bool is_unfinished(int end)
{
    return end == RAW_END_IN || end == RAW_END_INS || end == RAW_END_REP_INS;
}

/* For ends that come for certain: a busy machine may take longer to get there than others may last.
 */
static const struct udfvm_limits *limits_of(int end)
{
    return is_unfinished(end) ? &usual : &soon;
}

static bool is_expected(int end)
{
    return end == RAW_END_COMPLETE || end == RAW_END_LOOP || end == RAW_END_CRASH ||
           end == RAW_END_CALLS;
}

static void check_fitness(int end, int code, bool unfit)
{
    if (is_unfinished(end))
        check(code == UDFVM_E_PROTOCOL && unfit, "end %d: code %d, %s", end, code,
              unfit ? "closed" : "kept");
    if (is_expected(end))
        check(!unfit, "end %d is expected", end);
}

/* An end that leaves the emulation of an instruction unfinished costs the KVM VM; the usual ones do
 * not. */
static void test_a_vm_with_an_unexpected_exit_is_closed(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (int end = 0; end < RAW_ENDS; end++) {
        const int code = call(vm, limits_of(end), &reply, RAW_DISTURB, RAW_NOTHING, (uint64_t)end,
                              0);
        const bool unfit = vm->unfit,
                   trapping = vm->machine.hypervisor->run->s.regs.regs.rflags & 0x100;
        const int before = vms_made;
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && !vm->unfit, "restore after end %d", end);
        check(vms_made - before == (unfit || trapping), "end %d, code %d: %d new VMs", end, code,
              vms_made - before);
        check_fitness(end, code, unfit);
    }
    udfvm_vm_close(vm);
}

static void test_a_call_that_never_began_is_made_on_a_new_vm(void)
{
    static const uint32_t refusals[] = { KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (size_t i = 0; i < 2; i++) {
        const int before = vms_made;
        forge(vm, refusals[i], 0);
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "a refused entry was not tried again");
        check(vms_made == before + 1, "%d new VMs", vms_made - before);
        forge(vm, refusals[i], 0); /* the same call goes on: its state would be lost */
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_E_PROTOCOL && vm->unfit,
              "a call that began was made twice");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 2, "the VM was kept");
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 1,
              "the next call");
        udfvm_vm_restore(vm, NULL);
    }
    udfvm_vm_close(vm);
}

static void test_every_kind_of_exit(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (uint32_t reason = 0; reason < 48; reason++) {
        if (reason == KVM_EXIT_IO)
            continue;
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "begin");
        const int before = vms_made;
        forge(vm, reason, 0);
        check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_E_PROTOCOL && vm->unfit,
              "exit %u was accepted", reason);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && vms_made == before + 1,
              "a VM after exit %u was kept", reason);
        observe(vm, &present);
        compare(&pristine, &present, "exit", (int)reason, 0);
    }
    udfvm_vm_close(vm);
}

/* What the first call wrote is known although the KVM VM that logged it is gone. */
static void test_memory_of_a_closed_vm_is_restored(void)
{
    const uint64_t logged = UDFVM_PROGRAM_BASE + (5 << 20),
                   unlogged = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT;
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    for (int round = 0; round < 3; round++) {
        check(call(vm, &usual, &reply, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0) ==
                  UDFVM_OK,
              "opening unlogged memory");
        check(call(vm, &usual, &reply, RAW_FILL, logged, logged + 65536, MARK) == UDFVM_OK, "fill");
        check(call(vm, &usual, &reply, RAW_FILL, unlogged, unlogged + 65536, MARK) == UDFVM_OK,
              "fill unlogged memory");
        check(call(vm, &usual, &reply, RAW_DISTURB, RAW_NOTHING, RAW_END_INS, 0) != UDFVM_OK &&
                  udfvm_vm_restore(vm, NULL) == UDFVM_OK,
              "end and restore");
        check(call(vm, &usual, &reply, RAW_FIND, logged, logged + 65536, MARK) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 0,
              "memory leaks");
        check(call(vm, &usual, &reply, RAW_FIND, unlogged, unlogged + 65536, MARK) == UDFVM_OK &&
                  *(const uint64_t *)reply.data == 0,
              "unlogged memory leaks");
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    udfvm_vm_close(vm);
}

static void *give_up_after_a_minute(void *unused)
{
    sleep(60);
    printf("a call cannot be stopped: FAILED\n");
    fflush(stdout);
    _exit(1);
    return unused;
}

/* Deadlines of a VM that took the place of another, on a thread that blocks all signals, as threads
 * of streams do. */
static void test_a_new_vm_can_be_stopped(void)
{
    static const int ends[] = { RAW_END_INS, RAW_END_TRAP_FLAG, RAW_END_PORT };
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    sigset_t all, before;
    pthread_t watch;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    check(pthread_create(&watch, NULL, give_up_after_a_minute, NULL) == 0, "a thread");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        call(vm, limits_of(ends[i]), &reply, RAW_DISTURB, RAW_NOTHING, (uint64_t)ends[i], 0);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore after end %d", ends[i]);
        check(call(vm, &soon, &reply, RAW_LOOP, 0, 0, 0) == UDFVM_E_TIMEOUT, "a loop after end %d",
              ends[i]);
        check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    }
    forge(vm, KVM_EXIT_FAIL_ENTRY, 0);
    check(call(vm, &soon, &reply, RAW_LOOP, 0, 0, 0) == UDFVM_E_TIMEOUT,
          "a loop in a call that is made again");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    pthread_cancel(watch);
    pthread_join(watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    udfvm_vm_close(vm);
}

/* To be sealed is for LOAD: in a call it is an error, whoever makes the call, and the next is
 * right. */
static void test_a_call_cannot_be_sealed(void)
{
    udfvm_vm *vm = open_vm();
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t seal[] = { RAW_SEAL, 7 };
    uint8_t output[64];
    uint64_t length;
    int status;
    check(call(vm, &usual, &reply, RAW_SEAL, 7, 0, 0) == UDFVM_E_PROTOCOL, "a call was sealed");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    check(udfvm_vm_fresh_call(vm, UDFVM_REQUEST_BATCH, seal, sizeof seal, &usual, output,
                              sizeof output, &length, &status, &error) == UDFVM_E_PROTOCOL &&
              strstr(error.message, "sealed"),
          "a fresh call was sealed");
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK, "count");
    check(call(vm, &usual, &reply, RAW_SEAL, 7, 0, 0) == UDFVM_E_PROTOCOL,
          "a call that went on was sealed");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
              *(const uint64_t *)reply.data == 1,
          "the next call");
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restore");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "unexpected exits", test_a_vm_with_an_unexpected_exit_is_closed },
        { "refused entries", test_a_call_that_never_began_is_made_on_a_new_vm },
        { "kinds of exits", test_every_kind_of_exit },
        { "memory of closed VMs", test_memory_of_a_closed_vm_is_restored },
        { "deadlines of new VMs", test_a_new_vm_can_be_stopped },
        { "seals", test_a_call_cannot_be_sealed },
    };
    return run_on_processor(count, arguments, tests, sizeof tests / sizeof *tests);
}
