/* Values of nested types as JSON (RFC 8259), their form in SQL: a struct is an object, a list an
 * array, bytes a string of hexadecimal digits, dates and times strings of ISO 8601. */
#ifndef UDFVM_COMPILED_JSON_H
#define UDFVM_COMPILED_JSON_H

#include "shared/compiled/builder.h"

/* Parses JSON and appends the value. A field that the object does not have is null. A field that
 * the type does not have, and any value that does not fit the type, is an error. Returns false with
 * a failure, whose message continues a sentence about the argument that the text is. */
bool json_read(struct builder *builder, const char *text, size_t length);

/* Appends the text of a row, which is not null. Returns false with a failure if a number is not
 * finite, which JSON cannot represent. */
bool json_write(const struct type *type, const struct column *column, int64_t row,
                struct bytes *to);

/* The digits that distinguish every number of a type from all others: FLT_DECIMAL_DIG and
 * DBL_DECIMAL_DIG of C. */
#define JSON_FLOAT_DIGITS  9
#define JSON_DOUBLE_DIGITS 17

/* Append parts of JSON. A number that is not finite is null. */
void json_write_string(const char *text, size_t length, struct bytes *to);
void json_write_real(double value, int digits, struct bytes *to);

#endif
