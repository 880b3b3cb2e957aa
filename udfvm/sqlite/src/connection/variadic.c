/* Functions whose last parameter takes any number of arguments. A statement that calls one with so
 * many gets a function of that many parameters, which has its own image and micro-VM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connection/registry.h"

static uint32_t fixed_count(const struct sql_function *family)
{
    return family->parameter_count - 1;
}

uint32_t parameters_taking(const struct sql_function *family, int count)
{
    const uint32_t fixed = fixed_count(family);
    return (uint32_t)count < fixed ? fixed : (uint32_t)count; /* defaults are passed */
}

/* Returns the name of a parameter: `words[1]` for the second value of `*words`. */
static char *name_of(const struct sql_function *family, uint32_t index)
{
    const uint32_t fixed = fixed_count(family);
    if (index < fixed)
        return strdup(family->parameters[index].name);
    const char *name = family->parameters[fixed].name;
    const size_t size = strlen(name) + sizeof "[4294967295]";
    char *made = malloc(size);
    if (made)
        snprintf(made, size, "%s[%u]", name + (*name == '*'), index - fixed);
    return made;
}

static bool copy_parameters(struct sql_function *function, const struct sql_function *family)
{
    sqlite_library *sqlite3_api = function->registry->library;
    const uint32_t fixed = fixed_count(family);
    for (uint32_t i = 0; i < function->parameter_count; i++) {
        const struct sql_parameter *of_family = &family->parameters[i < fixed ? i : fixed];
        struct sql_parameter *made = &function->parameters[i];
        *made = *of_family;
        made->fallback = of_family->fallback ? sqlite3_value_dup(of_family->fallback) : NULL;
        made->name = name_of(family, i);
        if (!made->name || !made->fallback != !of_family->fallback)
            return false;
    }
    return true;
}

struct sql_function *function_taking(struct sql_function *family, int count)
{
    const uint32_t parameters = parameters_taking(family, count);
    struct sql_function *function = calloc(1, sizeof *function +
                                                  parameters * sizeof function->parameters[0]);
    if (!function)
        return NULL;
    *function = (struct sql_function){ .references = 1,
                                       .registry = family->registry,
                                       .embedder = family->embedder,
                                       .family = family,
                                       .name = strdup(family->name),
                                       .name_length = family->name_length,
                                       .result_type = family->result_type,
                                       .result_times = family->result_times,
                                       .isolation = family->isolation,
                                       .flags = family->flags & ~(uint32_t)UDFVM_SQLITE_VARIADIC,
                                       .limits = family->limits,
                                       .wait_ns = family->wait_ns,
                                       .pool_limit = family->pool_limit,
                                       .form = family->form,
                                       .language = family->language,
                                       .parameter_count = parameters };
    family->references++;
    family->registry->references++;
    if (family->embedder)
        family->embedder->references++;
    if (function->name && copy_parameters(function, family))
        return function;
    function_release(function);
    return NULL;
}
