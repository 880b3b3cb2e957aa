/* Text that is read from front to back. */
#ifndef UDFVM_COMPILED_SCANNER_H
#define UDFVM_COMPILED_SCANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct scanner {
    const char *at, *end;
};

static inline bool scanner_accept(struct scanner *scanner, char character)
{
    if (scanner->at == scanner->end || *scanner->at != character)
        return false;
    scanner->at++;
    return true;
}

static inline bool scanner_accept_word(struct scanner *scanner, const char *word)
{
    const size_t length = strlen(word);
    if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, word, length) != 0)
        return false;
    scanner->at += length;
    return true;
}

static inline bool scanner_at_digit(const struct scanner *scanner)
{
    return scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9';
}

/* Skips digits. Returns false if there are none. */
static inline bool scanner_skip_digits(struct scanner *scanner)
{
    const char *begin = scanner->at;
    while (scanner_at_digit(scanner))
        scanner->at++;
    return scanner->at > begin;
}

#endif
