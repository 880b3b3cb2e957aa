/* Terminals: terminal.c and terminal_output.c have the line discipline, as termios(3) describes it;
 * pty.c the pairs of descriptors, and terminal_control.c their ioctl(2). */
#ifndef UDFVM_TERMINAL_H
#define UDFVM_TERMINAL_H

#include "vfs/file.h"

#include <asm/termbits.h>
#include <asm/termios.h>

#define INPUT_BYTES        4096u  /* what waits to be read, the line that is edited included */
#define OUTPUT_BYTES       16384u /* what was written and echoed */
#define TERMINAL_TAB_WIDTH 8u

struct terminal {
    struct terminal *next; /* of all */
    struct termios settings;
    struct winsize size;
    uint32_t number; /* N of /dev/pts/N */
    unsigned masters, slaves;
    bool locked, was_opened;      /* was_opened: by a slave */
    bool controlling;             /* signals of its keys are for the process */
    bool stopped;                 /* by the STOP character */
    bool literal;                 /* the next character is taken as it is */
    uint64_t activity;            /* changes with each event */
    uint32_t column, line_column; /* where the next character is shown; where the line began */
    /* Positions, which only grow: [read, ready) can be read, [ready, end) is being edited. */
    uint64_t input_read, input_ready, input_end;
    uint64_t output_read, output_end;
    uint8_t delimiters[INPUT_BYTES / 8]; /* positions where lines end; a zero there ends the file */
    uint8_t input[INPUT_BYTES], output[OUTPUT_BYTES];
};

void terminal_reset(struct terminal *terminal);
/* Takes what was typed. Returns how much; in raw mode less, if the buffer is full. */
uint64_t terminal_type(struct terminal *terminal, const uint8_t *bytes, uint64_t length);
/* Takes what is to be shown. Returns how much. */
uint64_t terminal_show(struct terminal *terminal, const uint8_t *bytes, uint64_t length);
/* Returns what can be read at once: of a line, if lines are edited. */
uint64_t terminal_read(struct terminal *terminal, uint8_t *bytes, uint64_t length);
bool terminal_show_one(struct terminal *terminal, uint8_t c); /* false: there is no space */
uint64_t terminal_take_output(struct terminal *terminal, uint8_t *bytes, uint64_t length);
void terminal_flush(struct terminal *terminal, bool input, bool output);
void terminal_set(struct terminal *terminal, const struct termios *settings);

/* ioctl(2) of both ends. */
int64_t terminal_control(struct terminal *terminal, bool master, uint32_t request,
                         uint64_t argument);

static inline bool edits_lines(const struct terminal *terminal)
{
    return terminal->settings.c_lflag & ICANON;
}
static inline uint64_t readable_input(const struct terminal *terminal)
{
    return terminal->input_ready - terminal->input_read;
}
static inline uint64_t waiting_output(const struct terminal *terminal)
{
    return terminal->output_end - terminal->output_read;
}

#endif
