/* The tokens of JSON (RFC 8259): strings, numbers, marks. */
#ifndef UDFVM_COMPILED_JSON_SCAN_H
#define UDFVM_COMPILED_JSON_SCAN_H

#include "shared/compiled/bytes.h"
#include "shared/compiled/scanner.h"

struct json_reader {
    const char *start;   /* the text */
    struct scanner text; /* what is unread of it */
    struct bytes string; /* the string that was read last */
};

/* Sets the failure that `what` is expected here. Returns false. */
bool json_expected(const struct json_reader *reader, const char *what);
/* Returns how many bytes of the text an error shows: a limited number that splits no character. */
int json_shown(const char *at, const char *end);

void json_skip_blanks(struct json_reader *reader);
/* These skip blanks, and look at what follows. */
bool json_accept(struct json_reader *reader, char character);
bool json_accept_word(struct json_reader *reader, const char *word);

/* Reads a string into reader->string. Returns false with a failure that expects `what`. */
bool json_take_string(struct json_reader *reader, const char *what);
bool json_take_hexadecimal(struct scanner *text, unsigned digits, uint32_t *number);

/* Returns the length of the number that follows; 0 if there is none. *integer is true if it has
 * digits only. */
size_t json_number_length(const struct json_reader *reader, bool *integer);
/* Returns the number's nearest double. Overwrites reader->string. */
double json_real(struct json_reader *reader, const char *number, size_t length);

#endif
