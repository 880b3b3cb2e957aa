/* Reading mangled names: what the formats have in common. */
#ifndef UDFVM_COMPILED_MANGLED_H
#define UDFVM_COMPILED_MANGLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_MANGLED_DEPTH 64
#define MAX_MANGLED_STEPS 2000 /* names may refer back, and so mean more than they hold */

struct mangled {
    const char *begin, *at, *end;
    char *text;
    size_t size, used;
    unsigned depth, steps;
    bool failed;
};

/* Fails, and returns false. */
bool mangled_fail(struct mangled *mangled);
/* Begins a part that may hold others. Returns false if there are too many. mangled_leave() ends
 * it. */
bool mangled_enter(struct mangled *mangled);
void mangled_leave(struct mangled *mangled);
/* Returns the next character; NUL at the end. */
char mangled_peek(const struct mangled *mangled);
/* Takes a character if it is the next one. */
bool mangled_take(struct mangled *mangled, char character);
/* Takes a decimal number. Fails if there is none. */
size_t mangled_number(struct mangled *mangled);
/* Takes that many bytes. Returns NULL, and fails, if there are not so many. */
const char *mangled_bytes(struct mangled *mangled, size_t length);
/* Appends text. What does not fit is left out. */
void mangled_put(struct mangled *mangled, const char *text, size_t length);
void mangled_print(struct mangled *mangled, const char *text);

/* Read names behind "_R", and behind "_Z". Return false for what is no such name. */
bool mangled_rust(struct mangled *mangled);
bool mangled_cpp(struct mangled *mangled);

#endif
