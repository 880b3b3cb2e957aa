/* The tokens of JSON (RFC 8259): strings, numbers, marks. */
#ifndef UDFVM_COMPILED_JSON_SCAN_H
#define UDFVM_COMPILED_JSON_SCAN_H

#include "shared/compiled/bytes.h"
#include "shared/compiled/scanner.h"

struct json_reader {
    const char *argument, *start; /* the argument's name; its text */
    struct scanner text;          /* what is left of it */
    struct bytes string;          /* the last one that was read */
};

/* Sets the failure that `what` is expected here; false. */
bool json_expected(const struct json_reader *reader, const char *what);
/* So many bytes of the text, for an error, as make whole characters. */
int json_shown(const char *at, const char *end);

void json_skip_blanks(struct json_reader *reader);
/* What comes next, behind blanks. */
bool json_accept(struct json_reader *reader, char character);
bool json_accept_word(struct json_reader *reader, const char *word);

/* Reads a string into reader->string. Returns false with a failure that expects `what`. */
bool json_take_string(struct json_reader *reader, const char *what);
bool json_take_hexadecimal(struct scanner *text, unsigned digits, uint32_t *number);

/* Length of the number that is next; 0: there is none. *integer: it has digits only. */
size_t json_number_length(const struct json_reader *reader, bool *integer);
/* Its nearest double; overwrites reader->string. */
double json_real(struct json_reader *reader, const char *number, size_t length);

#endif
