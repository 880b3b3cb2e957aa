/* Messages of the program, and answers. */
#include <stddef.h>
#include <string.h>

#include "api.h"
#include "jail.h"

#define SPIN_NS 20000u /* for the next message, before the process sleeps: calls come in rows */

const struct jail_message *next_message(struct jail *jail)
{
    struct baton *asked = &jail->control->asked;
    const unsigned next = jail->seen + 1;
    if (!udfvm_baton_spin(asked, next, SPIN_NS))
        while (!udfvm_baton_has_come(asked, next))
            udfvm_baton_sleep(asked, next, 0);
    jail->seen = next;
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
