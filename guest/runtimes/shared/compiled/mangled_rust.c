/* Rust's names (RFC 2603, "v0"): see mangled.h. */
#include <string.h>

#include "shared/compiled/mangled.h"

static bool path(struct mangled *mangled);
static bool type(struct mangled *mangled);

/* ---- Numbers and identifiers ---- */

/* A number in base 62 and "_". "_" alone is 0. */
static size_t base62(struct mangled *mangled)
{
    size_t number = 0;
    if (mangled_take(mangled, '_'))
        return 0;
    while (!mangled_take(mangled, '_')) {
        const char digit = mangled_peek(mangled);
        if (digit >= '0' && digit <= '9')
            number = number * 62 + (size_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'z')
            number = number * 62 + 10 + (size_t)(digit - 'a');
        else if (digit >= 'A' && digit <= 'Z')
            number = number * 62 + 36 + (size_t)(digit - 'A');
        else
            return mangled_fail(mangled);
        mangled->at++;
    }
    return number + 1;
}

/* What tells things of the same name apart. */
static size_t disambiguator(struct mangled *mangled)
{
    return mangled_take(mangled, 's') ? base62(mangled) + 1 : 0;
}

static bool identifier(struct mangled *mangled, const char **name, size_t *length)
{
    if (mangled_take(mangled, 'u')) /* Punycode */
        return mangled_fail(mangled);
    *length = mangled_number(mangled);
    mangled_take(mangled, '_');
    *name = "";
    if (*length > 0)
        *name = mangled_bytes(mangled, *length);
    return !mangled->failed;
}

/* Goes on at an earlier place, and comes back. */
static bool back(struct mangled *mangled, bool (*read)(struct mangled *))
{
    const size_t place = base62(mangled);
    const char *after = mangled->at;
    if (mangled->failed || place >= (size_t)(after - mangled->begin))
        return mangled_fail(mangled);
    mangled->at = mangled->begin + place;
    const bool done = read(mangled);
    mangled->at = after;
    return done;
}

/* ---- Types ---- */

static const char *const basic[26] = {
    ['a' - 'a'] = "i8",    ['b' - 'a'] = "bool", ['c' - 'a'] = "char", ['d' - 'a'] = "f64",
    ['e' - 'a'] = "str",   ['f' - 'a'] = "f32",  ['h' - 'a'] = "u8",   ['i' - 'a'] = "isize",
    ['j' - 'a'] = "usize", ['l' - 'a'] = "i32",  ['m' - 'a'] = "u32",  ['n' - 'a'] = "i128",
    ['o' - 'a'] = "u128",  ['p' - 'a'] = "_",    ['s' - 'a'] = "i16",  ['t' - 'a'] = "u16",
    ['u' - 'a'] = "()",    ['v' - 'a'] = "...",  ['x' - 'a'] = "i64",  ['y' - 'a'] = "u64",
    ['z' - 'a'] = "!",
};

static bool constant(struct mangled *mangled)
{
    if (mangled_take(mangled, 'B'))
        return back(mangled, constant);
    if (mangled_take(mangled, 'p')) {
        mangled_print(mangled, "_");
        return true;
    }
    if (mangled->at < mangled->end)
        mangled->at++; /* its type */
    if (mangled_take(mangled, 'n'))
        mangled_print(mangled, "-");
    const char *digits = mangled->at;
    while (mangled_peek(mangled) && mangled_peek(mangled) != '_')
        mangled->at++;
    mangled_print(mangled, "0x");
    mangled_put(mangled, digits, (size_t)(mangled->at - digits));
    return mangled_take(mangled, '_') || mangled_fail(mangled);
}

static bool argument(struct mangled *mangled)
{
    if (mangled_take(mangled, 'L')) {
        base62(mangled);
        mangled_print(mangled, "'_");
        return !mangled->failed;
    }
    return mangled_take(mangled, 'K') ? constant(mangled) : type(mangled);
}

/* Reads parts up to E, with commas between them. */
static bool list(struct mangled *mangled, bool (*read)(struct mangled *))
{
    for (bool first = true; !mangled_take(mangled, 'E'); first = false) {
        mangled_print(mangled, first ? "" : ", ");
        if (!read(mangled))
            return false;
    }
    return true;
}

static bool prefixed(struct mangled *mangled, const char *text)
{
    if (mangled_take(mangled, 'L'))
        base62(mangled);
    mangled_print(mangled, text);
    return type(mangled);
}

static bool array(struct mangled *mangled, bool sized)
{
    mangled_print(mangled, "[");
    bool done = type(mangled);
    if (done && sized) {
        mangled_print(mangled, "; ");
        done = constant(mangled);
    }
    mangled_print(mangled, "]");
    return done;
}

static bool composed(struct mangled *mangled)
{
    switch (*mangled->at++) {
    case 'R':
        return prefixed(mangled, "&");
    case 'Q':
        return prefixed(mangled, "&mut ");
    case 'P':
        return prefixed(mangled, "*const ");
    case 'O':
        return prefixed(mangled, "*mut ");
    case 'S':
        return array(mangled, false);
    case 'A':
        return array(mangled, true);
    case 'T':
        mangled_print(mangled, "(");
        if (!list(mangled, type))
            return false;
        mangled_print(mangled, ")");
        return true;
    case 'B':
        return back(mangled, type);
    default: /* functions and trait objects */
        return mangled_fail(mangled);
    }
}

static bool type(struct mangled *mangled)
{
    const char letter = mangled_peek(mangled);
    bool done = mangled_enter(mangled);
    if (!done) {
        mangled_leave(mangled);
        return false;
    }
    if (letter >= 'a' && letter <= 'z' && basic[letter - 'a']) {
        mangled->at++;
        mangled_print(mangled, basic[letter - 'a']);
    } else if (letter && strchr("CMXYNI", letter)) {
        done = path(mangled);
    } else {
        done = letter ? composed(mangled) : mangled_fail(mangled);
    }
    mangled_leave(mangled);
    return done;
}

/* ---- Paths ---- */

/* Reads a path without writing it. */
static bool unwritten_path(struct mangled *mangled)
{
    const size_t used = mangled->used;
    const bool done = path(mangled);
    mangled->used = used;
    return done;
}

static bool crate(struct mangled *mangled)
{
    const char *name;
    size_t length;
    disambiguator(mangled);
    if (!identifier(mangled, &name, &length))
        return false;
    mangled_put(mangled, name, length);
    return true;
}

static bool nested(struct mangled *mangled)
{
    const char *name;
    size_t length;
    const char space = mangled->at < mangled->end ? *mangled->at++ : 0;
    if (!path(mangled))
        return false;
    disambiguator(mangled);
    if (!identifier(mangled, &name, &length))
        return false;
    mangled_print(mangled, "::");
    if (space == 'C')
        mangled_print(mangled, "{closure}");
    else if (space == 'S')
        mangled_print(mangled, "{shim}");
    mangled_put(mangled, name, length);
    return true;
}

/* <type>, or <type as trait>. */
static bool implementation(struct mangled *mangled, bool has_path, bool of_trait)
{
    if (has_path) {
        disambiguator(mangled);
        if (!unwritten_path(mangled))
            return false;
    }
    mangled_print(mangled, "<");
    if (!type(mangled))
        return false;
    mangled_print(mangled, of_trait ? " as " : "");
    if (of_trait && !path(mangled))
        return false;
    mangled_print(mangled, ">");
    return true;
}

static bool generic(struct mangled *mangled)
{
    if (!path(mangled))
        return false;
    mangled_print(mangled, "::<");
    if (!list(mangled, argument))
        return false;
    mangled_print(mangled, ">");
    return true;
}

static bool path_of(struct mangled *mangled, char kind)
{
    switch (kind) {
    case 'C':
        return crate(mangled);
    case 'M':
        return implementation(mangled, true, false);
    case 'X':
        return implementation(mangled, true, true);
    case 'Y':
        return implementation(mangled, false, true);
    case 'N':
        return nested(mangled);
    case 'I':
        return generic(mangled);
    case 'B':
        return back(mangled, path);
    default:
        return mangled_fail(mangled);
    }
}

static bool path(struct mangled *mangled)
{
    const bool done = mangled_enter(mangled) && mangled->at < mangled->end &&
                      path_of(mangled, *mangled->at++);
    mangled_leave(mangled);
    return done;
}

bool mangled_rust(struct mangled *mangled)
{
    return path(mangled) && !mangled->failed;
}
