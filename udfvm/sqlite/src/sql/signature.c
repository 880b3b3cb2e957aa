/* The signatures of stored and sealed functions: `(double, name text?) -> double`. The grammar is
 * that of `udfvm/types/signature_text.py`, for types of SQL. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sql/signature.h"

struct type_name {
    const char *name;
    uint32_t type;
    bool json;
};

/* Those of `udfvm/types/type_names.py` that are of a type of SQL, and JSON. */
static const struct type_name types[] = {
#include "sql_type_names.h"
    { "json", UDFVM_TYPE_TEXT, true },
};

const char *type_text(uint32_t type, bool json)
{
    static const char *const names[] = {
        [UDFVM_TYPE_NULL] = "null", [UDFVM_TYPE_INT64] = "int", [UDFVM_TYPE_FLOAT64] = "double",
        [UDFVM_TYPE_TEXT] = "text", [UDFVM_TYPE_BLOB] = "blob", [UDFVM_TYPE_BOOL] = "bool"
    };
    return json ? "json" : type < sizeof names / sizeof *names ? names[type] : "?";
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_word(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

struct signature_scanner {
    const char *at, *end, *start;
};

static _Thread_local char fault[224];

static const char *wrong(const struct signature_scanner *scanner, const char *what)
{
    snprintf(fault, sizeof fault, "%s at byte %td", what, scanner->at - scanner->start + 1);
    return fault;
}

/* Returns the text for a word, which the scanner has just passed, that is no type. */
static const char *unknown_type(const struct signature_scanner *scanner, const char *word)
{
    snprintf(fault, sizeof fault,
             "unknown type '%s' at byte %td (known: int, double, text, blob, bool, json)", word,
             scanner->at - (ptrdiff_t)strlen(word) - scanner->start + 1);
    return fault;
}

static void skip_blanks(struct signature_scanner *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\t' ||
                                          *scanner->at == '\n' || *scanner->at == '\r'))
        scanner->at++;
}

static bool is_next(struct signature_scanner *scanner, char c)
{
    skip_blanks(scanner);
    return scanner->at < scanner->end && *scanner->at == c;
}

static bool accept(struct signature_scanner *scanner, char c)
{
    const bool found = is_next(scanner, c);
    scanner->at += found;
    return found;
}

/* Takes a word of at most 63 bytes. Returns its length; 0 if there is none. */
static size_t take_word(struct signature_scanner *scanner, char word[64])
{
    size_t length = 0;
    skip_blanks(scanner);
    if (scanner->at == scanner->end || !is_letter(*scanner->at))
        return 0;
    while (scanner->at + length < scanner->end && in_word(scanner->at[length]))
        length++;
    if (length > 63)
        return 0;
    memcpy(word, scanner->at, length);
    word[length] = 0;
    scanner->at += length;
    return length;
}

static bool find_type(const char *word, uint32_t *type, bool *json)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(word, types[i].name) == 0) {
            *type = types[i].type;
            *json = types[i].json;
            return true;
        }
    return false;
}

static bool is_named_before(const struct sql_signature *signature, const char *name)
{
    for (uint32_t i = 0; i < signature->count; i++)
        if (strcmp(signature->names[i], name) == 0)
            return true;
    return false;
}

static const char *take_parameter(struct signature_scanner *scanner,
                                  struct sql_signature *signature)
{
    const uint32_t i = signature->count;
    char first[64], second[64];
    if (i == MAX_PARAMETERS)
        return wrong(scanner, "more than 127 parameters");
    if (is_next(scanner, '*'))
        return wrong(scanner, "a stored function has a fixed number of parameters, without '*',");
    if (!take_word(scanner, first))
        return wrong(
            scanner,
            "expected a type, or a name and a type (int, double, text, blob, bool, json),");
    const bool colon = accept(scanner, ':');
    const bool named = take_word(scanner, second) > 0;
    if (colon && !named)
        return wrong(scanner, "expected a type (int, double, text, blob, bool, json)");
    const char *type = named ? second : first;
    if (!find_type(type, &signature->parameters[i].type, &signature->json[i]))
        return unknown_type(scanner, type);
    if (named && is_named_before(signature, first))
        return wrong(scanner, "a second parameter of the same name");
    if (named)
        memcpy(signature->names[i], first, sizeof first);
    else
        snprintf(signature->names[i], sizeof signature->names[i], "p%u", i + 1);
    signature->parameters[i] = (struct udfvm_sqlite_parameter){
        .name = signature->names[i],
        .type = signature->parameters[i].type,
        .nullable = accept(scanner, '?'),
        .kind = signature->json[i] ? UDFVM_SQLITE_JSON : UDFVM_SQLITE_OF_TYPE,
    };
    signature->count++;
    return NULL;
}

static const char *take_parameters(struct signature_scanner *scanner,
                                   struct sql_signature *signature)
{
    const char *error = NULL;
    if (!accept(scanner, '('))
        return wrong(scanner, "expected '('");
    if (accept(scanner, ')'))
        return NULL;
    do
        error = take_parameter(scanner, signature);
    while (!error && accept(scanner, ','));
    if (error)
        return error;
    return accept(scanner, ')') ? NULL : wrong(scanner, "expected ',' or ')'");
}

const char *signature_parse(const char *text, size_t length, struct sql_signature *signature)
{
    struct signature_scanner scanner = { text, text + length, text };
    char word[64];
    signature->count = 0;
    const char *error = take_parameters(&scanner, signature);
    if (error)
        return error;
    if (!accept(&scanner, '-') || scanner.at == scanner.end || *scanner.at++ != '>')
        return wrong(&scanner, "expected '->'");
    if (!take_word(&scanner, word))
        return wrong(&scanner,
                     "expected a type of the result (int, double, text, blob, bool, json)");
    if (!find_type(word, &signature->result_type, &signature->result_json))
        return unknown_type(&scanner, word);
    accept(&scanner, '?'); /* any result may be NULL */
    skip_blanks(&scanner);
    return scanner.at == scanner.end ? NULL : wrong(&scanner, "expected the end");
}
