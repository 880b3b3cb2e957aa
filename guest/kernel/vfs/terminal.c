/* The line discipline of terminals: what becomes of characters that are typed and shown. */
#include "vfs/terminal.h"
#include "lib/string.h"
#include "signal/signal.h"

#define DELETE    0x7f
#define TAB_WIDTH TERMINAL_TAB_WIDTH

void terminal_reset(struct terminal *terminal)
{
    terminal->settings = (struct termios){
        .c_iflag = ICRNL | IXON,
        .c_oflag = OPOST | ONLCR,
        .c_cflag = B38400 | CS8 | CREAD,
        .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        .c_cc = { [VINTR] = 3,
                  [VQUIT] = 28,
                  [VERASE] = DELETE,
                  [VKILL] = 21,
                  [VEOF] = 4,
                  [VMIN] = 1,
                  [VSTART] = 17,
                  [VSTOP] = 19,
                  [VSUSP] = 26,
                  [VREPRINT] = 18,
                  [VDISCARD] = 15,
                  [VWERASE] = 23,
                  [VLNEXT] = 22 },
    };
}

static bool has(const struct terminal *terminal, tcflag_t local)
{
    return (terminal->settings.c_lflag & local) == local;
}

static bool is_key(const struct terminal *terminal, uint8_t c, int key)
{
    return c && c == terminal->settings.c_cc[key];
}

static bool is_control(uint8_t c)
{
    return c < ' ' || c == DELETE;
}

/* ---- Echo ---- */

/* Number of columns that the echo of a character takes, at a column. */
static uint32_t echo_width(const struct terminal *terminal, uint8_t c, uint32_t column)
{
    if (c == '\t')
        return TAB_WIDTH - column % TAB_WIDTH;
    return !is_control(c) ? 1 : has(terminal, ECHOCTL) ? 2 : 0;
}

static void echo(struct terminal *terminal, uint8_t c)
{
    if (is_control(c) && c != '\t' && c != '\n' && has(terminal, ECHOCTL)) {
        terminal_show_one(terminal, '^');
        terminal_show_one(terminal, c ^ 0x40);
    } else {
        terminal_show_one(terminal, c);
    }
}

/* Removes the last character of the line from the screen. */
static void erase_echo(struct terminal *terminal, uint8_t c)
{
    uint32_t column = terminal->line_column;
    for (uint64_t at = terminal->input_ready; at < terminal->input_end; at++)
        column += echo_width(terminal, terminal->input[at % INPUT_BYTES], column);
    for (uint32_t width = echo_width(terminal, c, column); width > 0; width--) {
        terminal_show_one(terminal, '\b');
        if (c != '\t') {
            terminal_show_one(terminal, ' ');
            terminal_show_one(terminal, '\b');
        }
    }
}

/* ---- Editing a line ---- */

static uint8_t last_character(const struct terminal *terminal)
{
    return terminal->input[(terminal->input_end - 1) % INPUT_BYTES];
}

static void erase(struct terminal *terminal)
{
    const uint8_t c = last_character(terminal);
    terminal->input_end--;
    if (has(terminal, ECHO | ECHOE))
        erase_echo(terminal, c);
    else if (has(terminal, ECHO))
        echo(terminal, terminal->settings.c_cc[VERASE]);
}

static bool is_empty(const struct terminal *terminal)
{
    return terminal->input_end == terminal->input_ready;
}

static void erase_word(struct terminal *terminal)
{
    while (!is_empty(terminal) && last_character(terminal) == ' ')
        erase(terminal);
    while (!is_empty(terminal) && last_character(terminal) != ' ')
        erase(terminal);
}

static void kill_line(struct terminal *terminal)
{
    if (has(terminal, ECHO | ECHOK | ECHOKE | ECHOE)) {
        while (!is_empty(terminal))
            erase(terminal);
        return;
    }
    terminal->input_end = terminal->input_ready;
    if (has(terminal, ECHO))
        echo(terminal, terminal->settings.c_cc[VKILL]);
    if (has(terminal, ECHO | ECHOK))
        terminal_show_one(terminal, '\n');
}

static void show_line_again(struct terminal *terminal)
{
    echo(terminal, terminal->settings.c_cc[VREPRINT]);
    terminal_show_one(terminal, '\n');
    for (uint64_t at = terminal->input_ready; at < terminal->input_end; at++)
        echo(terminal, terminal->input[at % INPUT_BYTES]);
}

/* Keys that need IEXTEN. */
static bool extended_key(struct terminal *terminal, uint8_t c)
{
    if (!has(terminal, IEXTEN))
        return false;
    if (is_key(terminal, c, VLNEXT)) {
        terminal->literal = true;
        if (has(terminal, ECHO | ECHOCTL)) {
            terminal_show_one(terminal, '^');
            terminal_show_one(terminal, '\b');
        }
    } else if (is_key(terminal, c, VWERASE)) {
        erase_word(terminal);
    } else if (is_key(terminal, c, VREPRINT) && has(terminal, ECHO)) {
        show_line_again(terminal);
    } else {
        return false;
    }
    return true;
}

static bool editing_key(struct terminal *terminal, uint8_t c)
{
    if (is_key(terminal, c, VERASE)) {
        if (!is_empty(terminal))
            erase(terminal);
    } else if (is_key(terminal, c, VKILL)) {
        kill_line(terminal);
    } else {
        return extended_key(terminal, c);
    }
    return true;
}

/* ---- Input ---- */

static void set_delimiter(struct terminal *terminal, uint64_t position, bool set)
{
    uint8_t *byte = &terminal->delimiters[position % INPUT_BYTES / 8];
    const uint8_t bit = (uint8_t)(1u << position % 8);
    *byte = set ? *byte | bit : *byte & (uint8_t)~bit;
}

static bool is_delimiter(const struct terminal *terminal, uint64_t position)
{
    return terminal->delimiters[position % INPUT_BYTES / 8] >> position % 8 & 1;
}

static bool has_input_space(const struct terminal *terminal)
{
    return terminal->input_end - terminal->input_read < INPUT_BYTES;
}

/* A line keeps one byte for its end; what is typed beyond is lost. */
static void store(struct terminal *terminal, uint8_t c, bool delimiter)
{
    const uint64_t used = terminal->input_end - terminal->input_read;
    if (used >= INPUT_BYTES - (edits_lines(terminal) && !delimiter))
        return;
    set_delimiter(terminal, terminal->input_end, delimiter);
    terminal->input[terminal->input_end++ % INPUT_BYTES] = c;
    if (delimiter || !edits_lines(terminal))
        terminal->input_ready = terminal->input_end;
}

static void store_and_echo(struct terminal *terminal, uint8_t c)
{
    if (is_empty(terminal))
        terminal->line_column = terminal->column;
    if (has(terminal, ECHO))
        echo(terminal, c);
    store(terminal, c, false);
}

/* Returns the signal of a key; 0 if it has none. */
static int signal_of(const struct terminal *terminal, uint8_t c)
{
    return !has(terminal, ISIG)         ? 0
           : is_key(terminal, c, VINTR) ? SIGINT
           : is_key(terminal, c, VQUIT) ? SIGQUIT
           : is_key(terminal, c, VSUSP) ? SIGTSTP
                                        : 0;
}

static void send_signal(struct terminal *terminal, int number, uint8_t c)
{
    if (!has(terminal, NOFLSH))
        terminal_flush(terminal, true, true);
    if (has(terminal, ECHO))
        echo(terminal, c);
    if (terminal->controlling)
        signal_send_to_process((uint64_t)number, 0);
}

static bool flow_key(struct terminal *terminal, uint8_t c)
{
    if (!(terminal->settings.c_iflag & IXON))
        return false;
    const bool stop = is_key(terminal, c, VSTOP), start = is_key(terminal, c, VSTART);
    if (stop || start)
        terminal->stopped = stop;
    return stop || start;
}

/* Ends the line, if the character does that. */
static bool line_end(struct terminal *terminal, uint8_t c)
{
    const bool end_of_file = is_key(terminal, c, VEOF);
    if (c == '\n' ? has(terminal, ECHO) || has(terminal, ECHONL)
                  : !end_of_file && has(terminal, ECHO) &&
                        (is_key(terminal, c, VEOL) || is_key(terminal, c, VEOL2)))
        echo(terminal, c);
    if (c != '\n' && !end_of_file && !is_key(terminal, c, VEOL) && !is_key(terminal, c, VEOL2))
        return false;
    store(terminal, end_of_file ? 0 : c, true);
    return true;
}

/* Returns false if the character is ignored. */
static bool translate(tcflag_t flags, uint8_t *c)
{
    if (flags & ISTRIP)
        *c &= 0x7f;
    if (*c == '\r' && (flags & IGNCR))
        return false;
    if (*c == '\r' && (flags & ICRNL))
        *c = '\n';
    else if (*c == '\n' && (flags & INLCR))
        *c = '\r';
    return true;
}

static void take(struct terminal *terminal, uint8_t c)
{
    if (terminal->literal) {
        terminal->literal = false;
        store_and_echo(terminal, c);
        return;
    }
    if (!translate(terminal->settings.c_iflag, &c))
        return;
    const int number = signal_of(terminal, c);
    if (number)
        send_signal(terminal, number, c);
    else if (!flow_key(terminal, c) &&
             !(edits_lines(terminal) && (editing_key(terminal, c) || line_end(terminal, c))))
        store_and_echo(terminal, c);
}

uint64_t terminal_type(struct terminal *terminal, const uint8_t *bytes, uint64_t length)
{
    uint64_t done = 0;
    while (done < length && (edits_lines(terminal) || has_input_space(terminal)))
        take(terminal, bytes[done++]);
    terminal->activity += done > 0;
    return done;
}

/* ---- Reading ---- */

static bool at_end_of_file(const struct terminal *terminal)
{
    return readable_input(terminal) && is_delimiter(terminal, terminal->input_read) &&
           terminal->input[terminal->input_read % INPUT_BYTES] == 0;
}

uint64_t terminal_read(struct terminal *terminal, uint8_t *bytes, uint64_t length)
{
    uint64_t done = 0;
    bool ended = false;
    while (done < length && readable_input(terminal) && !ended) {
        if (edits_lines(terminal) && at_end_of_file(terminal))
            break;
        ended = edits_lines(terminal) && is_delimiter(terminal, terminal->input_read);
        bytes[done++] = terminal->input[terminal->input_read++ % INPUT_BYTES];
    }
    if (edits_lines(terminal) && !ended && at_end_of_file(terminal))
        terminal->input_read++; /* also if it follows directly on what was asked for */
    terminal->activity++;
    return done;
}

/* ---- Settings ---- */

void terminal_flush(struct terminal *terminal, bool input, bool output)
{
    if (input)
        terminal->input_read = terminal->input_ready = terminal->input_end;
    if (output)
        terminal->output_read = terminal->output_end;
    terminal->activity++;
}

void terminal_set(struct terminal *terminal, const struct termios *settings)
{
    const bool edited = edits_lines(terminal);
    terminal->settings = *settings;
    if (edited && !edits_lines(terminal))
        terminal->input_ready = terminal->input_end; /* the unfinished line can be read */
    if (!(settings->c_iflag & IXON))
        terminal->stopped = false;
    terminal->activity++;
}
