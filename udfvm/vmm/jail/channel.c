/* Messages of the program, and answers. */
#include <stddef.h>
#include <string.h>
#include <x86intrin.h>

#include "api.h"
#include "jail.h"
#include "base/futex.h"

#define SPIN_NS 20000u /* for the next message, before the process sleeps: calls come in rows */
#define LOOKS   32u

static bool has_come(const struct jail *jail)
{
    return atomic_load_explicit(&jail->control->asked, memory_order_acquire) != jail->seen;
}

static bool spin(const struct jail *jail)
{
    for (const uint64_t end = udfvm_monotonic_ns() + SPIN_NS; udfvm_monotonic_ns() < end;)
        for (unsigned i = 0; i < LOOKS; i++) {
            if (has_come(jail))
                return true;
            _mm_pause();
        }
    return false;
}

const struct jail_message *next_message(struct jail *jail)
{
    struct jail_control *control = jail->control;
    if (!spin(jail))
        while (!has_come(jail)) {
            atomic_store(&control->process_sleeps, 1);
            if (!has_come(jail))
                futex_wait(&control->asked, jail->seen, 0);
            atomic_store(&control->process_sleeps, 0);
        }
    jail->seen++;
    return &control->message;
}

void give_answer(struct jail *jail, const struct jail_answer *answer)
{
    struct jail_control *control = jail->control;
    memcpy(&control->answer, answer,
           answer->code == UDFVM_OK ? offsetof(struct jail_answer, message) : sizeof *answer);
    atomic_store(&control->answered, jail->seen);
    if (atomic_load(&control->program_sleeps))
        futex_wake(&control->answered);
}

const struct jail_message *ask_program(struct jail *jail, const struct jail_answer *question)
{
    give_answer(jail, question);
    return next_message(jail);
}
