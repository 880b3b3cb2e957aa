/* Notes of sealed functions: of the cache, and of files that anybody may have written. */
#include <stdlib.h>
#include <string.h>

#include "sql/sealed.h"

#include "guest.h"

static void read_defaults(const struct sealed_note *sealed)
{
    for (uint32_t i = 0; i < sealed->signature.count; i++) {
        const struct udfvm_sqlite_parameter *parameter = &sealed->signature.parameters[i];
        read_all(parameter->fallback, parameter->fallback_length);
    }
}

static void read_offered(const struct sealed_note *sealed)
{
    const struct udfvm_sqlite_function *offered = &sealed->offered;
    for (uint32_t i = 0; i < offered->parameter_count; i++)
        read_all(offered->parameters[i].name, strlen(offered->parameters[i].name));
    for (uint32_t i = 0; i < offered->column_count; i++)
        read_all(offered->columns[i].name, strlen(offered->columns[i].name));
    read_defaults(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = { "name", "base", "layer", "processor", "" };
    char *note = malloc(size + 1), value[65];
    struct sealed_note *sealed = malloc(sizeof *sealed);
    if (!note || !sealed)
        abort();
    memcpy(note, data, size);
    note[size] = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (note_value(note, keys[i], value, sizeof value))
            read_all(value, strlen(value));
    if (sealed_read(note, "f", sealed))
        read_offered(sealed);
    free(sealed);
    free(note);
    return 0;
}
