/* See nested_argument.h. */
#include "shared/compiled/nested_argument.h"

#include <stdlib.h>

#include "shared/compiled/json.h"

void nested_arguments_prepare(struct program *program)
{
    for (size_t i = 0; i < program->signature.count; i++) {
        const struct type *type = program->signature.parameters[i].type;
        struct nested_argument *argument = type ? malloc(sizeof *argument) : NULL;
        if (type && !argument)
            abort();
        if (argument)
            *argument = (struct nested_argument){ type_column(type), builder_new(type) };
        program->nested[i] = argument;
    }
}

void nested_argument_begin(struct nested_argument *argument)
{
    builder_clear(&argument->builder);
}

bool nested_argument_put(struct nested_argument *argument, const char *text, size_t length)
{
    if (text)
        return json_read(&argument->builder, text, length);
    builder_null(&argument->builder);
    return true;
}

struct column nested_argument_column(struct nested_argument *argument)
{
    builder_column(&argument->builder, &argument->column);
    return argument->column;
}
