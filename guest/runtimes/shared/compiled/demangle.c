/* See demangle.h. */
#include "shared/compiled/demangle.h"

#include <string.h>

#include "shared/compiled/mangled.h"

/* Returns the length of a name without what compilers append for the parts and copies of a
 * function that they make. */
static size_t source_length(const char *name, size_t length)
{
    static const char *const appended[] = { ".cold",  ".constprop.", ".isra.",
                                            ".llvm.", ".lto_priv.",  ".part." };
    for (size_t i = 0; i < sizeof appended / sizeof *appended; i++) {
        const char *at = memmem(name, length, appended[i], strlen(appended[i]));
        if (at)
            length = (size_t)(at - name);
    }
    return length;
}

void demangle(const char *name, size_t length, char *text, size_t size)
{
    const bool rust = length > 2 && memcmp(name, "_R", 2) == 0;
    const bool cpp = length > 2 && memcmp(name, "_Z", 2) == 0;
    struct mangled mangled = { .begin = name + 2,
                               .at = name + 2,
                               .end = name + source_length(name, length),
                               .text = text,
                               .size = size };
    const bool known = (rust && mangled_rust(&mangled)) || (cpp && mangled_cpp(&mangled));
    if (!known || mangled.failed) {
        mangled.used = 0;
        mangled_put(&mangled, name, length);
    }
    text[mangled.used] = 0;
}
