/* C++'s names (Itanium C++ ABI, 5.1), and those of Rust before v0, which have the same form: see
 * mangled.h. Types of parameters are left out, and arguments of templates become <...>. A name that
 * refers back to a part of itself is left as it is. */
#include <string.h>

#include "shared/compiled/mangled.h"

#define HASH 17 /* bytes of the last part of a name of Rust: h and 16 hexadecimal digits */

static bool is_hash(const char *name, size_t length)
{
    bool hash = length == HASH && name[0] == 'h';
    for (size_t i = 1; i < length && hash; i++)
        hash = strchr("0123456789abcdef", name[i]) != NULL;
    return hash;
}

static const struct {
    const char *code, *text;
} escapes[] = {
    { "$LT$", "<" },  { "$GT$", ">" },  { "$RF$", "&" },   { "$BP$", "*" },  { "$LP$", "(" },
    { "$RP$", ")" },  { "$C$", "," },   { "$SP$", "@" },   { "$u20$", " " }, { "$u27$", "'" },
    { "$u5b$", "[" }, { "$u5d$", "]" }, { "$u7b$", "{" },  { "$u7d$", "}" }, { "$u7e$", "~" },
    { "$u3b$", ";" }, { "$u2b$", "+" }, { "$u22$", "\"" }, { "..", "::" },
};

/* Writes a part of a name, with Rust's escapes. */
static void put_part(struct mangled *mangled, const char *name, size_t length)
{
    if (length > 2 && memcmp(name, "_$", 2) == 0) {
        name++;
        length--;
    }
    while (length > 0) {
        size_t taken = 0;
        for (size_t i = 0; i < sizeof escapes / sizeof *escapes && taken == 0; i++) {
            const size_t size = strlen(escapes[i].code);
            if (length >= size && memcmp(name, escapes[i].code, size) == 0) {
                mangled_print(mangled, escapes[i].text);
                taken = size;
            }
        }
        if (taken == 0) {
            mangled_put(mangled, name, 1);
            taken = 1;
        }
        name += taken;
        length -= taken;
    }
}

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

/* Skips a literal: L, its type, its value, E. */
static bool skip_literal(struct mangled *mangled)
{
    while (mangled_peek(mangled) && mangled_peek(mangled) != 'E')
        mangled->at++;
    return mangled_take(mangled, 'E') || mangled_fail(mangled);
}

/* Skips arguments of a template, behind their I. */
static bool skip_arguments(struct mangled *mangled)
{
    for (size_t depth = 1; depth > 0 && !mangled->failed;) {
        const char character = mangled_peek(mangled);
        if (is_digit(character)) {
            mangled_bytes(mangled, mangled_number(mangled));
        } else if (mangled_take(mangled, 'L')) {
            skip_literal(mangled);
        } else if (character == 0) {
            mangled_fail(mangled);
        } else {
            if (strchr("INJFX", character))
                depth++;
            if (character == 'E')
                depth--;
            mangled->at++;
            if (character == 'S') /* a standard name, such as St, or a reference back: S1_ */
                mangled->at += mangled->at < mangled->end && *mangled->at >= 'a';
        }
    }
    return !mangled->failed;
}

static const struct {
    const char code[3];
    const char *text;
} standard[] = {
    { "St", "std" },           { "Sa", "std::allocator" },
    { "Ss", "std::string" },   { "Sb", "std::basic_string" },
    { "Si", "std::istream" },  { "So", "std::ostream" },
    { "Sd", "std::iostream" },
};

static const char *standard_name(struct mangled *mangled)
{
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        if (mangled->end - mangled->at >= 2 && memcmp(mangled->at, standard[i].code, 2) == 0) {
            mangled->at += 2;
            return standard[i].text;
        }
    return NULL;
}

struct last_part {
    const char *name;
    size_t length;
};

/* Takes the digit behind C or D: which constructor or destructor it is. */
static bool take_kind(struct mangled *mangled)
{
    mangled->at++;
    if (!is_digit(mangled_peek(mangled)))
        return mangled_fail(mangled);
    mangled->at++;
    return true;
}

/* Reads a part of a nested name: an identifier, a constructor or a destructor. */
static bool part(struct mangled *mangled, bool first, struct last_part *last)
{
    mangled_take(mangled, 'L'); /* of one file: static */
    const char character = mangled_peek(mangled);
    if (is_digit(character)) {
        last->length = mangled_number(mangled);
        last->name = mangled_bytes(mangled, last->length);
        if (last->name && is_hash(last->name, last->length) && mangled_peek(mangled) == 'E')
            return true;
    } else if (!last->name || (character != 'C' && character != 'D') || !take_kind(mangled)) {
        return mangled_fail(mangled);
    }
    if (mangled->failed)
        return false;
    mangled_print(mangled, first ? "" : "::");
    mangled_print(mangled, character == 'D' ? "~" : "");
    put_part(mangled, last->name, last->length);
    return true;
}

static bool nested(struct mangled *mangled)
{
    struct last_part last = { NULL, 0 };
    bool first = true;
    while (mangled_peek(mangled) && strchr("rVKRO", mangled_peek(mangled)))
        mangled->at++;
    while (!mangled_take(mangled, 'E')) {
        const char *name = first ? standard_name(mangled) : NULL;
        if (name) {
            mangled_print(mangled, name);
        } else if (!first && mangled_take(mangled, 'I')) {
            mangled_print(mangled, "<...>");
            if (!skip_arguments(mangled))
                return false;
        } else if (!part(mangled, first, &last)) {
            return false;
        }
        first = false;
    }
    return !first;
}

bool mangled_cpp(struct mangled *mangled)
{
    struct last_part last = { NULL, 0 };
    if (mangled_take(mangled, 'N'))
        return nested(mangled);
    const char *name = standard_name(mangled);
    if (name)
        mangled_print(mangled, name);
    if (!part(mangled, !name, &last))
        return false;
    if (mangled_take(mangled, 'I'))
        mangled_print(mangled, "<...>");
    return true;
}
