/* See demangle.h. */
#include "shared/compiled/demangle.h"

#include <string.h>

#include "shared/compiled/mangled.h"

void demangle(const char *name, size_t length, char *text, size_t size)
{
    const bool rust = length > 2 && memcmp(name, "_R", 2) == 0;
    const bool cpp = length > 2 && memcmp(name, "_Z", 2) == 0;
    struct mangled mangled = {
        .begin = name + 2, .at = name + 2, .end = name + length, .text = text, .size = size
    };
    const bool known = (rust && mangled_rust(&mangled)) || (cpp && mangled_cpp(&mangled));
    if (!known || mangled.failed) {
        mangled.used = 0;
        mangled_put(&mangled, name, length);
    }
    text[mangled.used] = 0;
}
