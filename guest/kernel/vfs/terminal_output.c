/* What terminals show: output, and the echo of what is typed. */
#include "vfs/terminal.h"

#define TAB_WIDTH TERMINAL_TAB_WIDTH

static bool is_control(uint8_t c)
{
    return c < ' ' || c == 0x7f;
}

static bool put(struct terminal *terminal, uint8_t c)
{
    if (waiting_output(terminal) == OUTPUT_BYTES)
        return false;
    terminal->output[terminal->output_end++ % OUTPUT_BYTES] = c;
    return true;
}

static bool put_newline(struct terminal *terminal)
{
    if (terminal->settings.c_oflag & ONLCR) {
        if (waiting_output(terminal) + 2 > OUTPUT_BYTES)
            return false;
        put(terminal, '\r');
        terminal->column = 0;
    }
    if (terminal->settings.c_oflag & ONLRET)
        terminal->column = 0;
    return put(terminal, '\n');
}

static bool put_return(struct terminal *terminal)
{
    if ((terminal->settings.c_oflag & ONOCR) && terminal->column == 0)
        return true;
    if (terminal->settings.c_oflag & OCRNL)
        return put(terminal, '\n');
    terminal->column = 0;
    return put(terminal, '\r');
}

static bool put_tab(struct terminal *terminal)
{
    const uint32_t width = TAB_WIDTH - terminal->column % TAB_WIDTH;
    if ((terminal->settings.c_oflag & TABDLY) != XTABS) {
        terminal->column += width;
        return put(terminal, '\t');
    }
    if (waiting_output(terminal) + width > OUTPUT_BYTES)
        return false;
    for (uint32_t i = 0; i < width; i++)
        put(terminal, ' ');
    terminal->column += width;
    return true;
}

bool terminal_show_one(struct terminal *terminal, uint8_t c)
{
    if (!(terminal->settings.c_oflag & OPOST))
        return put(terminal, c);
    switch (c) {
    case '\n':
        return put_newline(terminal);
    case '\r':
        return put_return(terminal);
    case '\t':
        return put_tab(terminal);
    case '\b':
        terminal->column -= terminal->column > 0;
        return put(terminal, c);
    default:
        if ((terminal->settings.c_oflag & OLCUC) && c >= 'a' && c <= 'z')
            c -= 'a' - 'A';
        terminal->column += !is_control(c);
        return put(terminal, c);
    }
}

uint64_t terminal_show(struct terminal *terminal, const uint8_t *bytes, uint64_t length)
{
    uint64_t done = 0;
    while (done < length && terminal_show_one(terminal, bytes[done]))
        done++;
    terminal->activity += done > 0;
    return done;
}

uint64_t terminal_take_output(struct terminal *terminal, uint8_t *bytes, uint64_t length)
{
    length = minimum(length, waiting_output(terminal));
    for (uint64_t i = 0; i < length; i++)
        bytes[i] = terminal->output[terminal->output_read++ % OUTPUT_BYTES];
    terminal->activity += length > 0;
    return length;
}
