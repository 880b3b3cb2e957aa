/* See results.h. */
#include "native/results.h"

#include <stdio.h>

#include "native/context_switch.h"
#include "native/nested_value.h"
#include "shared/compiled/failure.h"
#include "utf8.h"

/* Keeps the compiler from using the thread pointer before it is the runtime's. */
#define NOT_INLINE __attribute__((noinline))

static void fail(struct udfvm_state *state, const char *message)
{
    snprintf(state->message, sizeof state->message, "%s", message);
    state->type[0] = 0;
    state->marks |= UDFVM_FAILED;
}

NOT_INLINE static bool append(void *context, const char *bytes, size_t length)
{
    struct results *results = context;
    struct udfvm_state *state = results->described->function->state;
    const bool text = results->block->storage == STORAGE_TEXT32;
    if (length > 0 && !bytes) {
        fail(state, "the function returned a text or blob without data");
        return true;
    }
    if (text && !utf8_is_valid(bytes, length)) {
        fail(state, "the function returned text that is not valid UTF-8");
        return true;
    }
    return block_put(results->block, results->next++,
                     &(struct scalar){ .bytes = bytes, .length = length });
}

NOT_INLINE static void append_value(void *context, const void *value)
{
    struct described_function *described = ((struct results *)context)->described;
    if (!value)
        builder_null(&described->builder);
    else if (!(described->function->state->marks & UDFVM_FAILED) &&
             !nested_append(described->function->result, value, &described->builder))
        fail(described->function->state, failure_message());
}

/* ---- The same for programs, which call it with a thread pointer of their own ---- */

static bool append_for_program(void *context, const char *bytes, size_t length)
{
    const uint64_t thread = context_enter();
    const bool taken = append(context, bytes, length);
    context_leave(thread);
    return taken;
}

static void append_value_for_program(void *context, const void *value)
{
    const uint64_t thread = context_enter();
    append_value(context, value);
    context_leave(thread);
}

struct udfvm_output results_output(struct results *results)
{
    const bool program = context_has_program();
    struct udfvm_output output = { .context = results };
    if (results->block) {
        output.validity = results->block->output + results->block->validity;
        output.data = results->block->output + results->block->data;
        output.append = program ? append_for_program : append;
    } else {
        builder_clear(&results->described->builder);
        output.append_value = program ? append_value_for_program : append_value;
    }
    return output;
}

struct column results_column(const struct results *results)
{
    struct described_function *described = results->described;
    builder_column(&described->builder, &described->column);
    return described->column;
}
