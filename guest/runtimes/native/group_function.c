/* See group_function.h. */
#include "native/group_function.h"

#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "native/results.h"
#include "shared/compiled/failure.h"

/* ---- What the object defines, called with its stack and thread pointer ---- */

struct group_call {
    const struct udfvm_groups *groups;
    void *group, *other;
    udfvm_blob state;
};

static void call_begin(void *argument)
{
    const struct group_call *call = argument;
    call->groups->begin(call->group);
}

static void call_merge(void *argument)
{
    const struct group_call *call = argument;
    call->groups->merge(call->group, call->other);
}

static void call_save(void *argument)
{
    struct group_call *call = argument;
    call->state = call->groups->save(call->group);
}

static void call_load(void *argument)
{
    const struct group_call *call = argument;
    call->groups->load(call->group, call->state);
}

static void call_end(void *argument)
{
    const struct group_call *call = argument;
    call->groups->end(call->group);
}

struct take_call {
    int64_t (*take)(void *group, const struct udfvm_input *columns, int64_t row, int64_t end);
    void *group;
    const struct udfvm_input *columns;
    int64_t row, end;
};

static void call_take(void *argument)
{
    struct take_call *call = argument;
    call->row = call->take(call->group, call->columns, call->row, call->end);
}

struct finish_call {
    const struct udfvm_groups *groups;
    void *group;
    const struct udfvm_output *output;
};

static void call_finish(void *argument)
{
    const struct finish_call *call = argument;
    call->groups->finish(call->group, call->output);
}

/* Calls one of them. Returns false with a failure if it failed. */
static bool call(const struct described_function *described, void (*body)(void *argument),
                 void *argument)
{
    function_begin(described->function->state);
    context_call(body, argument);
    return !function_failed(described->function->state);
}

/* ---- Groups ---- */

static void *allocate(const struct udfvm_groups *groups)
{
    void *group;
    const size_t least = sizeof(void *);
    if (posix_memalign(&group, groups->alignment < least ? least : groups->alignment,
                       groups->size ? groups->size : 1) != 0)
        abort();
    return group;
}

static void *begin(void *context)
{
    const struct described_function *described = context;
    const struct udfvm_groups *groups = described->function->groups;
    struct group_call begins = { .groups = groups, .group = allocate(groups) };
    if (call(described, call_begin, &begins))
        return begins.group;
    free(begins.group);
    return NULL;
}

static void end(void *context, void *group)
{
    const struct described_function *described = context;
    call(described, call_end,
         &(struct group_call){ .groups = described->function->groups, .group = group });
    free(group);
}

static int64_t take(void *context, void *group, const struct column *columns, int64_t first,
                    int64_t end_of_rows, bool inverse)
{
    const struct described_function *described = context;
    const struct udfvm_function *function = described->function;
    struct nested_input nested[UDFVM_MAX_PARAMETERS];
    struct udfvm_input native[UDFVM_MAX_PARAMETERS];
    size_t wrong = 0;
    function_inputs(function, columns, nested, native);
    const int64_t taken = function_takes(described, columns, first, end_of_rows, NULL, &wrong);
    struct take_call takes = { inverse ? function->groups->inverse : function->groups->step, group,
                               native, first, taken };
    const bool done = call(described, call_take, &takes);
    if (done && takes.row != taken)
        failure_set("RuntimeError", "the object took rows up to %lld of %lld", (long long)takes.row,
                    (long long)taken);
    if (!done || takes.row != taken)
        return takes.row < first || takes.row >= end_of_rows ? first : takes.row;
    if (taken < end_of_rows) {
        function_takes(described, columns, taken, end_of_rows, NULL, &wrong);
        failure_of_argument(wrong + 1);
    }
    return taken;
}

static bool value(void *context, void *group, struct block *block, struct column *column)
{
    struct described_function *described = context;
    struct results results = { .described = described, .block = block };
    const struct udfvm_output output = results_output(&results);
    if (!call(described, call_finish,
              &(struct finish_call){ described->function->groups, group, &output }))
        return false;
    if (!block)
        *column = results_column(&results);
    return true;
}

/* ---- States ---- */

static bool state(void *context, void *group, struct scalar *to)
{
    const struct described_function *described = context;
    const struct udfvm_groups *groups = described->function->groups;
    struct group_call saves = { .groups = groups, .group = group };
    if (!groups->save) {
        to->bytes = group;
        to->length = groups->size;
        return true;
    }
    if (!call(described, call_save, &saves))
        return false;
    if (saves.state.length > 0 && !saves.state.data)
        return failure_set("RuntimeError", "UDFVM_SAVE returned a blob without data");
    to->bytes = saves.state.data;
    to->length = saves.state.length;
    return true;
}

static void *restore(void *context, const struct scalar *from)
{
    const struct described_function *described = context;
    const struct udfvm_groups *groups = described->function->groups;
    if (!groups->save && from->length != groups->size) {
        failure_set("ValueError", "the state of a group has %zu bytes where it has %zu",
                    from->length, groups->size);
        return NULL;
    }
    void *group = groups->save ? begin(context) : allocate(groups);
    if (!group || !groups->save)
        return group ? memcpy(group, from->bytes, from->length) : NULL;
    if (call(described, call_load,
             &(struct group_call){ groups, group, .state = { from->bytes, from->length } }))
        return group;
    free(group); /* nobody knows how far it got */
    return NULL;
}

static bool merge(void *context, void *group, void *other)
{
    const struct described_function *described = context;
    return call(described, call_merge,
                &(struct group_call){ described->function->groups, group, other, { 0 } });
}

/* ---- Descriptions ---- */

bool group_function_fits(const struct udfvm_groups *groups)
{
    if (!groups->finish)
        return failure_set("TypeError",
                           "the aggregate has no value: define it with UDFVM_FINISH(name)");
    if (!groups->save != !groups->load || (groups->save && !groups->merge))
        return failure_set("TypeError", "the aggregate defines some of UDFVM_MERGE, UDFVM_SAVE and "
                                        "UDFVM_LOAD: the last two need each other, and the first");
    if (groups->merge && !groups->save && !groups->plain)
        return failure_set("TypeError",
                           "a group of the aggregate is more than its bytes, so groups can be "
                           "merged only with UDFVM_SAVE and UDFVM_LOAD");
    return true;
}

void group_function_prepare(struct program *program, const struct udfvm_groups *groups)
{
    static const struct aggregate operations = { begin, take, value, state, restore, merge, end };
    program->aggregate = &operations;
    program->has_inverse = groups->inverse != NULL;
    program->has_merge = groups->merge != NULL;
}
