/* Reports of errors that a guest wrote, and what becomes of any text of a guest. */
#include <stdlib.h>
#include <string.h>

#include <sqlite3ext.h>

#include "statement/report.h"
#include "utf8.h"

#include "sql.h"

static sqlite_library *library;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    library = sql_library();
    return 0;
}

/* No control character is left, and what is left is UTF-8. */
static void check_visible(const char *text, size_t length, const char *keep)
{
    if (!utf8_is_valid(text, length))
        defect("text that is not UTF-8");
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 && !strchr(keep, text[i]))
            defect("text with a control character");
}

static void make_visible(struct input input)
{
    const size_t capacity = 1 + (input_word(&input) & 0x3ff);
    const char *keep = input_byte(&input) & 1 ? "\n\t" : "";
    char *out = malloc(capacity);
    if (!out)
        abort();
    const size_t length = udfvm_visible_text(input.at, input.left, keep, out, capacity);
    if (length >= capacity || out[length])
        defect("text of the wrong length");
    check_visible(out, length, keep);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqlite_library *sqlite3_api = library;
    const struct udfvm_reply reply = { .status = UDFVM_STATUS_ERROR, .data = data, .length = size };
    char *text = guest_error_text(library, &reply);
    if (text)
        check_visible(text, strlen(text), "\n\t");
    sqlite3_free(text);
    make_visible((struct input){ data, size });
    return 0;
}
