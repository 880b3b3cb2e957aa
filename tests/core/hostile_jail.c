/* A jailed VM's process that was taken over: linked into the program udfvm-jail, it changes the
 * answer to a call whose request says so (see test_jail.c), in the way whose number stands there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../udfvm/vmm/jail/jail.h"
#include "call/vm.h"
#include "jail_tricks.h"
#include "base/clock.h"
#include "base/futex.h"

#define LONGER_THAN_LOOKS 200000000u  /* ns: the program looks at an interrupt several times */
#define LONGER_THAN_GRACE 2200000000u /* ns: more than JAIL_GRACE_NS of jail/cell.h */

void __real_give_answer(struct jail *jail, const struct jail_answer *answer);
void __wrap_give_answer(struct jail *jail, const struct jail_answer *answer);

static uint64_t trick_of(const struct jail *jail)
{
    uint64_t request[3];
    const uint32_t kind = jail->control->message.kind;
    if (!jail->vm || (kind != JAIL_CALL && kind != JAIL_BOOT))
        return HONEST;
    memcpy(request, jail->vm->machine.input + UDFVM_PAGE_SIZE, sizeof request);
    return request[2] >> 32 == TRICK ? (uint32_t)request[2] : HONEST;
}

static void ask(struct jail *jail, enum jail_reply kind, uint64_t length, uint64_t first,
                uint64_t second)
{
    const struct jail_answer question = { .kind = kind,
                                          .length = length,
                                          .values = { first, second } };
    ask_program(jail, &question);
}

/* What is asked for in the middle of a call. */
static void ask_for_more(struct jail *jail, uint64_t trick)
{
    switch (trick) {
    case ASK_FOR_HOST_FUNCTION:
        ask(jail, JAIL_HOST_CALL, 8, 8, 0);
        break;
    case LONG_ARGUMENTS:
        ask(jail, JAIL_HOST_CALL, UINT64_MAX, 8, 0);
        break;
    case LONG_NAME:
        memset(jail->data, 'n', 2 * JAIL_NAME_BYTES);
        ask(jail, JAIL_HOST_CALL, 8, 8, 0);
        break;
    case LONG_LOG:
        ask(jail, JAIL_LOG, UINT64_MAX, 1, 0);
        break;
    case MUCH_LOG:
        for (int i = 0; i < 100; i++)
            ask(jail, JAIL_LOG, 65536, 1, 0);
        break;
    case ASK_FOR_FILE:
        strcpy((char *)jail->data, "/etc/passwd");
        ask(jail, JAIL_FILE_OPEN, 0, 0, 0);
        break;
    case LONG_PATH:
        memset(jail->data, '/', 8192);
        ask(jail, JAIL_FILE_STAT, 0, 0, 0);
        break;
    case READ_FAR:
        ask(jail, JAIL_FILE_READ, 8, 0, UINT64_MAX);
        break;
    case READ_MUCH:
        ask(jail, JAIL_FILE_READ, UINT64_MAX, 0, 0);
        break;
    case UNKNOWN_QUESTION:
        ask(jail, 77, 0, 0, 0);
        break;
    }
}

static void ask_and_die(struct jail *jail)
{
    const struct jail_answer question = { .kind = JAIL_HOST_CALL, .values = { 8 } };
    strcpy((char *)jail->data, "name");
    __real_give_answer(jail, &question);
    syscall(SYS_exit_group, 0);
}

static void ask_for_ever(struct jail *jail, uint64_t trick)
{
    while (trick == LOG_NOTHING)
        ask(jail, JAIL_LOG, 0, 1, 0);
    while (trick == ASK_ALWAYS)
        ask(jail, JAIL_FILE_CLOSE, 0, 77, 0);
}

static atomic_bool continues; /* threads that write to the reply continue each other */

static void signal_own_process(int signal)
{
    syscall(SYS_tgkill, getpid(), gettid(), signal);
}

/* One of two threads that change the reply. */
static void *write_reply(void *output)
{
    atomic_uint *words = output;
    for (unsigned i = 0;; i++) {
        atomic_store_explicit(words + i * 61 % (FROZEN_REPLY / 4), i, memory_order_relaxed);
        if (continues && i % 64 == 0) {
            signal_own_process(SIGCONT);
            signal_own_process(SIGSTOP);
        }
    }
    return NULL;
}

static void begin_to_write(const struct jail *jail, uint64_t trick)
{
    static bool begun;
    pthread_t thread;
    continues = trick == LONG_REPLY_CONTINUES;
    for (int i = 0; i < 2 && !begun; i++)
        pthread_create(&thread, NULL, write_reply, (void *)(uintptr_t)jail->vm->machine.output);
    begun = true;
}

static void *want_turns(void *wanted)
{
    for (atomic_bool *asks = wanted;;)
        atomic_store(asks, true);
    return NULL;
}

static void begin_to_want_turns(const struct jail *jail)
{
    pthread_t thread;
    pthread_create(&thread, NULL, want_turns, &jail->control->stream.asks);
}

static void change(struct jail_answer *answer, uint64_t trick)
{
    static const int codes[] = { -1,
                                 UDFVM_E_ARGUMENT,
                                 UDFVM_E_INTERRUPTED,
                                 UDFVM_E_HOST_FUNCTION,
                                 UDFVM_E_HOST_CALLS,
                                 UDFVM_E_FORKED,
                                 1000 };
    switch (trick) {
    case FAIL_ODDLY ... FAIL_ODDLY_LAST:
        answer->code = codes[trick - FAIL_ODDLY];
        break;
    case CRASH_WITH_TEXT:
        answer->code = UDFVM_E_CRASH;
        memset(answer->message, 0x1b, sizeof answer->message);
        break;
    case UNKNOWN_STATUS:
        answer->status = 7;
        break;
    case NEGATIVE_STATUS:
        answer->status = -1;
        break;
    case LONG_REPLY:
        answer->length = UINT64_MAX;
        break;
    case REPLY_PAST_WINDOW:
        answer->length = (UINT64_C(4) << 20) + 1;
        break;
    case REPLY_IN_PLACE_PAST_SCRATCH:
        answer->status = UDFVM_STATUS_IN_PLACE;
        answer->length = (UINT64_C(10) << 20) + 1;
        answer->unlogged_open = 1;
        break;
    case SEALED:
        answer->sealed = 1;
        break;
    case UNSEALED:
        answer->sealed = 0;
        break;
    case LONG_REPLY_CHANGES ... LONG_REPLY_GOES_ON:
        answer->length = FROZEN_REPLY;
        answer->stops = 1;
        break;
    }
}

/* A signal does not shorten it. */
static void delay(uint64_t ns)
{
    const uint64_t end_ns = udfvm_monotonic_ns() + ns;
    atomic_uint never = 0;
    for (uint64_t now = 0; (now = udfvm_monotonic_ns()) < end_ns;)
        futex_wait(&never, 0, end_ns - now);
}

/* What it does, from the trick on, where it puts the VM back or moves it to another image. */
static void hold_between_calls(uint32_t kind, uint64_t trick)
{
    static uint64_t slow_ns;
    static unsigned lives;
    if (trick == SLOW_BETWEEN_CALLS || trick == DIE_AFTER_NEXT_CALL)
        slow_ns = LONGER_THAN_LOOKS;
    if (trick == SLOWER_BETWEEN_CALLS)
        slow_ns = LONGER_THAN_GRACE;
    if (trick == DIE_AFTER_NEXT_CALL)
        lives = 2;
    if (kind == JAIL_CALL || kind == JAIL_BOOT)
        return;
    delay(slow_ns);
    if (lives > 0 && --lives == 0)
        syscall(SYS_exit_group, 0);
}

static void end(struct jail *jail, uint64_t trick)
{
    hold_between_calls(jail->control->message.kind, trick);
    switch (trick) {
    case ANSWER_TOO_MUCH:
        jail->seen += 5;
        break;
    case NO_ANSWER:
        for (atomic_uint never = 0;;)
            futex_wait(&never, 0, 0);
    case EXIT:
        syscall(SYS_exit_group, 0);
        break;
    case OPEN_FILE:
        syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
        break;
    }
}

static unsigned answers_left[2]; /* until it dies before one, and behind one; 0: it does not */

static void choose_end(uint64_t trick)
{
    if (trick >= DIE_BEHIND_ANSWER)
        answers_left[1] = (unsigned)(trick - DIE_BEHIND_ANSWER) + 1;
    else if (trick >= DIE_BEFORE_ANSWER)
        answers_left[0] = (unsigned)(trick - DIE_BEFORE_ANSWER) + 1;
}

static void live_on(bool behind)
{
    if (answers_left[behind] > 0 && --answers_left[behind] == 0)
        syscall(SYS_exit_group, 0);
}

static bool writes(uint64_t trick)
{
    return trick == LONG_REPLY_CHANGES || trick == LONG_REPLY_CONTINUES;
}

void __wrap_give_answer(struct jail *jail, const struct jail_answer *answer)
{
    struct jail_answer changed = *answer;
    const uint64_t trick = answer->kind == JAIL_DONE ? trick_of(jail) : HONEST;
    ask_for_more(jail, trick);
    ask_for_ever(jail, trick);
    if (trick == ASK_AND_DIE)
        ask_and_die(jail);
    change(&changed, trick);
    if (writes(trick))
        begin_to_write(jail, trick);
    if (trick == WANT_TURNS)
        begin_to_want_turns(jail);
    end(jail, trick);
    choose_end(trick);
    live_on(false);
    __real_give_answer(jail, &changed);
    live_on(true);
    if (writes(trick))
        signal_own_process(SIGSTOP);
}
