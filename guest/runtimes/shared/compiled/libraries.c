/* See libraries.h. */
#include "shared/compiled/libraries.h"

#include <string.h>

struct text {
    const char *at;
    size_t length;
};

static bool begins(struct text text, const char *with)
{
    const size_t length = strlen(with);
    return text.length >= length && memcmp(text.at, with, length) == 0;
}

bool is_library_file(const char *path)
{
    static const char *const files[] = { "libc.so",    "libc-",        "libm.so",
                                         "libm-",      "ld-linux",     "ld-musl-",
                                         "libpthread", "libgcc_s.so",  "libstdc++.so",
                                         "libc++.so",  "libc++abi.so", "libunwind.so",
                                         "libstd-" };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (begins((struct text){ name, strlen(name) }, files[i]))
            return true;
    return false;
}

static bool is_library_path(struct text name)
{
    static const char *const begin[] = { "std::",       "core::",        "alloc::",
                                         "__rustc::",   "panic_abort::", "panic_unwind::",
                                         "__gnu_cxx::", "__cxxabiv1::" };
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (begins(name, begin[i]))
            return true;
    return false;
}

/* Of Rust's `<Type as Trait>::function` and `<Type>::function`: the type's path counts, or the
 * trait's where the type has none, as `[u8]` and `i32`. */
static bool is_library_method(struct text name)
{
    const char *as = memmem(name.at, name.length, " as ", 4);
    const char *end = as ? as : memchr(name.at, '>', name.length);
    struct text type = { name.at + 1, end ? (size_t)(end - name.at) - 1 : name.length - 1 };
    while (type.length && strchr("&*[(<", *type.at)) {
        type.at++;
        type.length--;
    }
    if (memmem(type.at, type.length, "::", 2))
        return is_library_path(type);
    return !as ||
           is_library_path((struct text){ as + 4, name.length - (size_t)(as + 4 - name.at) });
}

static bool ends_program(struct text name)
{
    static const char *const names[] = {
        "abort",
        "raise",
        "gsignal",
        "pthread_kill",
        "__assert_fail",
        "__assert",
        "__chk_fail",
        "__fortify_fail",
        "__libc_fatal",
        "__libc_message",
        "__assert_fail_base",
        "__stack_chk_fail",
        "__assert_perror_fail",
        "panic_impl",
    };
    static const char *const begin[] = { "__pthread_kill", "__cxa_", "_Unwind_", "__rust_",
                                         "rust_",          "__rg_",  "__GI_",    "__ubsan_" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name.length == strlen(names[i]) && begins(name, names[i]))
            return true;
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (begins(name, begin[i]))
            return true;
    return false;
}

bool is_library_function(const char *name, size_t length)
{
    const struct text text = { name, length };
    return begins(text, "<") ? is_library_method(text)
                             : is_library_path(text) || ends_program(text);
}
