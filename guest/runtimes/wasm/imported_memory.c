/* See imported_memory.h. A module is a header and sections, each with a number and a length. What
 * is not known here is left for wasmtime to refuse. */
#include "wasm/imported_memory.h"

#include <string.h>

#define HEADER      8u
#define MAX_NUMBER  10 /* bytes of a number in LEB128 */
#define MEMORY_NAME "memory"

enum section { SECTION_CUSTOM = 0, SECTION_IMPORT = 2, SECTION_EXPORT = 7, SECTION_TAG = 13 };
enum kind { KIND_FUNCTION, KIND_TABLE, KIND_MEMORY, KIND_GLOBAL, KIND_TAG };
enum limits { LIMITS_MAXIMUM = 1, LIMITS_PAGE_SIZE = 8 };

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static uint8_t byte(struct reader *reader)
{
    if (reader->at < reader->end)
        return *reader->at++;
    reader->failed = true;
    return 0;
}

static uint64_t number(struct reader *reader)
{
    uint64_t value = 0;
    for (int i = 0; i < MAX_NUMBER; i++) {
        const uint8_t part = byte(reader);
        value |= (uint64_t)(part & 127) << (7 * i);
        if (part < 128)
            return value;
    }
    reader->failed = true;
    return 0;
}

/* Bytes of a length that is written before them. */
static struct reader piece(struct reader *reader)
{
    const uint64_t length = number(reader);
    if (length > (uint64_t)(reader->end - reader->at))
        reader->failed = true;
    if (reader->failed)
        return (struct reader){ reader->end, reader->end, true };
    const struct reader found = { reader->at, reader->at + length, false };
    reader->at += length;
    return found;
}

static void skip_limits(struct reader *reader)
{
    const uint64_t flags = number(reader);
    number(reader);
    if (flags & LIMITS_MAXIMUM)
        number(reader);
    if (flags & LIMITS_PAGE_SIZE)
        number(reader);
}

static void skip_type(struct reader *reader)
{
    const uint8_t first = byte(reader);
    if (first == 0x63 || first == 0x64) /* a reference: what to follows */
        number(reader);
}

/* Returns true if it was a memory. */
static bool skip_import(struct reader *reader)
{
    piece(reader);
    piece(reader);
    const uint8_t kind = byte(reader);
    switch (kind) {
    case KIND_FUNCTION:
        number(reader);
        break;
    case KIND_TABLE:
        skip_type(reader);
        skip_limits(reader);
        break;
    case KIND_MEMORY:
        skip_limits(reader);
        break;
    case KIND_GLOBAL:
        skip_type(reader);
        byte(reader);
        break;
    case KIND_TAG:
        byte(reader);
        number(reader);
        break;
    default:
        reader->failed = true;
    }
    return kind == KIND_MEMORY;
}

static bool has_memory(struct reader imports)
{
    bool found = false;
    for (uint64_t left = number(&imports); left > 0 && !imports.failed && !found; left--)
        found = skip_import(&imports);
    return found && !imports.failed;
}

static bool exports_memory(struct reader exports)
{
    for (uint64_t left = number(&exports); left > 0 && !exports.failed; left--) {
        const struct reader name = piece(&exports);
        if ((size_t)(name.end - name.at) == strlen(MEMORY_NAME) &&
            memcmp(name.at, MEMORY_NAME, strlen(MEMORY_NAME)) == 0)
            return true;
        byte(&exports);
        number(&exports);
    }
    return exports.failed;
}

/* ---- Where the export goes ---- */

struct place {
    struct reader exports;        /* what is in the section; empty: there is none */
    const uint8_t *start, *go_on; /* what is replaced */
    bool imported;
};

/* Where the sections are in order, those of globals and before come before the exports. */
static bool comes_before_exports(uint8_t section)
{
    return section < SECTION_EXPORT || section == SECTION_TAG;
}

static bool find_place(const uint8_t *module, size_t length, struct place *place)
{
    struct reader reader = { module + HEADER, module + length, false };
    *place = (struct place){ .start = NULL };
    while (reader.at < reader.end) {
        const uint8_t *start = reader.at;
        const uint8_t section = byte(&reader);
        const struct reader content = piece(&reader);
        if (reader.failed)
            return false;
        if (section == SECTION_IMPORT)
            place->imported = has_memory(content);
        if (section == SECTION_EXPORT)
            *place = (struct place){ content, start, reader.at, place->imported };
        else if (!place->start && !comes_before_exports(section))
            place->start = place->go_on = start;
    }
    if (!place->start)
        place->start = place->go_on = reader.end;
    return place->imported && !(place->exports.at && exports_memory(place->exports));
}

static void put_number(struct bytes *to, uint64_t value)
{
    do {
        const uint8_t part = (uint8_t)(value & 127) | (value > 127 ? 128 : 0);
        bytes_put(to, &part, 1);
        value >>= 7;
    } while (value > 0);
}

bool imported_memory_export(const uint8_t *module, size_t length, struct bytes *made)
{
    static const uint8_t kind_and_index[] = { KIND_MEMORY, 0 }, section = SECTION_EXPORT;
    struct place place;
    struct bytes content = { 0 };
    if (length < HEADER || !find_place(module, length, &place))
        return false;
    put_number(&content, (place.exports.at ? number(&place.exports) : 0) + 1);
    bytes_put(&content, place.exports.at, (size_t)(place.exports.end - place.exports.at));
    put_number(&content, strlen(MEMORY_NAME));
    bytes_text(&content, MEMORY_NAME);
    bytes_put(&content, kind_and_index, sizeof kind_and_index);
    bytes_put(made, module, (size_t)(place.start - module));
    bytes_put(made, &section, 1);
    put_number(made, content.length);
    bytes_put(made, content.at, content.length);
    bytes_put(made, place.go_on, (size_t)(module + length - place.go_on));
    bytes_free(&content);
    return true;
}
