/* Messages of the program, and answers. */
#include <stddef.h>
#include <string.h>

#include "api.h"
#include "base/clock.h"
#include "jail.h"

/* For so long the process looks for the next message before it sleeps. Calls come in rows: the
 * message before that came as soon speaks for the next. To wake up where the processor sleeps, too,
 * takes as long as half a small call. */
#define SPIN_NS      20000u
#define LONG_SPIN_NS 200000u

const struct jail_message *next_message(struct jail *jail)
{
    struct baton *asked = &jail->control->asked;
    const unsigned next = jail->seen + 1;
    const uint64_t begin = udfvm_monotonic_ns();
    if (!udfvm_baton_spin(asked, next, jail->in_row ? LONG_SPIN_NS : SPIN_NS))
        while (!udfvm_baton_has_come(asked, next))
            udfvm_baton_sleep(asked, next, 0);
    jail->in_row = udfvm_monotonic_ns() - begin < LONG_SPIN_NS;
    jail->seen = next;
    atomic_store_explicit(&jail->control->taken, next, memory_order_relaxed);
    return &jail->control->message;
}

void give_answer(struct jail *jail, const struct jail_answer *answer)
{
    struct jail_control *control = jail->control;
    memcpy(&control->answer, answer,
           answer->code == UDFVM_OK ? offsetof(struct jail_answer, message) : sizeof *answer);
    udfvm_baton_give(&control->answered, jail->seen);
}

const struct jail_message *ask_program(struct jail *jail, const struct jail_answer *question)
{
    give_answer(jail, question);
    return next_message(jail);
}
