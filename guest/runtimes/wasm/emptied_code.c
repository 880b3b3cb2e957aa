/* See emptied_code.h. The format: webassembly.github.io/spec/core/binary, and for components
 * github.com/WebAssembly/component-model, Binary.md. */
#include "wasm/emptied_code.h"

#include <string.h>

#define MAX_DEPTH 32 /* of components in components */

enum { MODULE_CODE = 10, MODULE_DATA = 11, MODULE_DATA_COUNT = 12 };
enum { COMPONENT_MODULE = 1, COMPONENT_COMPONENT = 4 };

static const uint8_t module_head[8] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
static const uint8_t component_head[8] = { 0, 'a', 's', 'm', 0x0d, 0, 1, 0 };

struct rest {
    const uint8_t *at;
    size_t length;
};

static bool take(struct rest *from, size_t length, struct rest *part)
{
    *part = (struct rest){ from->at, length };
    if (length > from->length)
        return false;
    from->at += length;
    from->length -= length;
    return true;
}

static bool take_number(struct rest *from, uint32_t *number)
{
    struct rest byte;
    *number = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (!take(from, 1, &byte))
            return false;
        *number |= (uint32_t)(*byte.at & 0x7f) << shift;
        if (*byte.at < 0x80)
            return true;
    }
    return false;
}

static void put_number(struct bytes *to, size_t number)
{
    uint8_t byte;
    do {
        byte = (uint8_t)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
        bytes_put(to, &byte, 1);
        number >>= 7;
    } while (number > 0);
}

static void put_section(struct bytes *to, uint8_t id, const uint8_t *content, size_t length)
{
    bytes_put(to, &id, 1);
    put_number(to, length);
    bytes_put(to, content, length);
}

/* Appends as many functions as a code section has. Each traps, which any type of function may. */
static bool put_functions(struct rest section, struct bytes *to)
{
    static const uint8_t trapping[] = { 3, 0, 0, 0x0b }; /* 3 bytes: no locals, unreachable, end */
    struct bytes content = { 0 };
    struct rest body;
    uint32_t count, length;
    bool good = take_number(&section, &count);
    put_number(&content, count);
    for (uint32_t i = 0; good && i < count; i++) {
        good = take_number(&section, &length) && take(&section, length, &body);
        bytes_put(&content, trapping, sizeof trapping);
    }
    put_section(to, MODULE_CODE, content.at, content.length);
    bytes_free(&content);
    return good && section.length == 0;
}

static bool put_code(struct rest code, struct bytes *to, unsigned depth);

static bool put_module_section(uint8_t id, struct rest content, struct bytes *to)
{
    static const uint8_t none[] = { 0 };
    if (id == MODULE_CODE)
        return put_functions(content, to);
    if (id == MODULE_DATA)
        put_section(to, id, none, sizeof none);
    else if (id != MODULE_DATA_COUNT)
        put_section(to, id, content.at, content.length);
    return true;
}

static bool put_component_section(uint8_t id, struct rest content, struct bytes *to, unsigned depth)
{
    struct bytes inner = { 0 };
    if (id != COMPONENT_MODULE && id != COMPONENT_COMPONENT) {
        put_section(to, id, content.at, content.length);
        return true;
    }
    const bool good = put_code(content, &inner, depth + 1);
    put_section(to, id, inner.at, inner.length);
    bytes_free(&inner);
    return good;
}

/* Appends a module or component. */
static bool put_code(struct rest code, struct bytes *to, unsigned depth)
{
    struct rest head, id, content;
    uint32_t length;
    if (depth > MAX_DEPTH || !take(&code, sizeof module_head, &head))
        return false;
    const bool module = memcmp(head.at, module_head, sizeof module_head) == 0;
    if (!module && memcmp(head.at, component_head, sizeof component_head) != 0)
        return false;
    bytes_put(to, head.at, head.length);
    while (code.length > 0)
        if (!take(&code, 1, &id) || !take_number(&code, &length) ||
            !take(&code, length, &content) ||
            !(module ? put_module_section(*id.at, content, to)
                     : put_component_section(*id.at, content, to, depth)))
            return false;
    return true;
}

bool emptied_code(const uint8_t *code, size_t length, struct bytes *to)
{
    return put_code((struct rest){ code, length }, to, 0);
}
