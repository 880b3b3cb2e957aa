/* ioctl(2) of terminals. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "signal/signal.h"
#include "vfs/terminal.h"

static int64_t get_settings(const struct terminal *terminal, uint64_t address)
{
    if (!user_range_ok(address, sizeof(struct termios)))
        return -EFAULT;
    memcpy((void *)address, &terminal->settings, sizeof(struct termios));
    return 0;
}

static int64_t set_settings(struct terminal *terminal, uint64_t address, bool flush)
{
    struct termios settings;
    if (!user_range_ok(address, sizeof settings))
        return -EFAULT;
    memcpy(&settings, (const void *)address, sizeof settings);
    if (flush)
        terminal_flush(terminal, true, false);
    terminal_set(terminal, &settings);
    return 0;
}

static int64_t get_size(const struct terminal *terminal, uint64_t address)
{
    if (!user_range_ok(address, sizeof terminal->size))
        return -EFAULT;
    memcpy((void *)address, &terminal->size, sizeof terminal->size);
    return 0;
}

static int64_t set_size(struct terminal *terminal, uint64_t address)
{
    if (!user_range_ok(address, sizeof terminal->size))
        return -EFAULT;
    if (memcmp(&terminal->size, (const void *)address, sizeof terminal->size) == 0)
        return 0;
    memcpy(&terminal->size, (const void *)address, sizeof terminal->size);
    if (terminal->controlling)
        signal_send_to_process(SIGWINCH, 0);
    return 0;
}

static int64_t give(uint64_t address, int32_t value)
{
    if (!user_range_ok(address, sizeof value))
        return -EFAULT;
    *(int32_t *)address = value;
    return 0;
}

static int64_t set_lock(struct terminal *terminal, uint64_t address)
{
    if (!user_range_ok(address, sizeof(int32_t)))
        return -EFAULT;
    terminal->locked = *(const int32_t *)address;
    return 0;
}

static int64_t flush(struct terminal *terminal, bool master, uint64_t queues)
{
    if (queues > TCIOFLUSH)
        return -EINVAL;
    const bool in = queues != TCOFLUSH, out = queues != TCIFLUSH;
    terminal_flush(terminal, master ? out : in, master ? in : out);
    return 0;
}

/* Output of the terminal is stopped and started; input is not throttled. */
static int64_t control_flow(struct terminal *terminal, uint64_t action)
{
    if (action > TCION)
        return -EINVAL;
    if (action == TCOOFF || action == TCOON)
        terminal->stopped = action == TCOOFF;
    return 0;
}

/* What only the master has. */
static int64_t control_master(struct terminal *terminal, uint32_t request, uint64_t argument)
{
    switch (request) {
    case TIOCGPTN:
        return give(argument, (int32_t)terminal->number);
    case TIOCSPTLCK:
        return set_lock(terminal, argument);
    case TIOCGPTLCK:
        return give(argument, terminal->locked);
    default:
        return -ENOTTY;
    }
}

static int64_t set_foreground(const struct terminal *terminal, uint64_t address)
{
    if (!user_range_ok(address, sizeof(int32_t)))
        return -EFAULT;
    const int32_t group = *(const int32_t *)address;
    return !terminal->controlling                         ? -ENOTTY
           : group == SESSION_ID || group == process_id() ? 0
                                                          : -ESRCH;
}

/* The session, and its process group: there is one. Nothing waits to be sent. */
static int64_t control_session(struct terminal *terminal, bool master, uint32_t request,
                               uint64_t argument)
{
    switch (request) {
    case TIOCSCTTY:
        terminal->controlling = true;
        return 0;
    case TIOCNOTTY:
        if (!terminal->controlling)
            return -ENOTTY;
        terminal->controlling = false;
        return 0;
    case TIOCGPGRP:
    case TIOCGSID:
        if (!terminal->controlling)
            return master && request == TIOCGPGRP ? give(argument, 0) : -ENOTTY;
        return give(argument, SESSION_ID);
    case TIOCOUTQ:
        return give(argument, 0);
    case TIOCSPGRP:
        return set_foreground(terminal, argument);
    default:
        return master ? control_master(terminal, request, argument) : -ENOTTY;
    }
}

int64_t terminal_control(struct terminal *terminal, bool master, uint32_t request,
                         uint64_t argument)
{
    switch (request) {
    case TCGETS:
        return get_settings(terminal, argument);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return set_settings(terminal, argument, request == TCSETSF);
    case TIOCGWINSZ:
        return get_size(terminal, argument);
    case TIOCSWINSZ:
        return set_size(terminal, argument);
    case TCFLSH:
        return flush(terminal, master, argument);
    case TCXONC:
        return control_flow(terminal, argument);
    case TCSBRK: /* what is written has arrived, and nobody sees a break */
    case TCSBRKP:
        return 0;
    default:
        return control_session(terminal, master, request, argument);
    }
}
