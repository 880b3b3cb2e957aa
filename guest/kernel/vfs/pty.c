/* Pairs of a master, which stands for the person at a terminal, and slaves, which are the terminal
 * to programs. */
#include "vfs/pty.h"
#include "host/clock.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "signal/signal.h"
#include "vfs/terminal.h"

#include <asm/ioctls.h>

#define PTS_MAJOR     136u
#define MAX_TERMINALS 256u /* minor numbers of eight bits */
#define FIRST_INODE   100u
#define TENTH_NS      (NANOSECONDS / 10) /* the unit of VTIME */

static struct terminal *terminals;

static bool waits(const struct file *file)
{
    return !(file->flags & O_NONBLOCK);
}

/* ---- The master ---- */

static bool slave_is_gone(const struct terminal *terminal)
{
    return terminal->was_opened && !terminal->slaves;
}

static bool master_can_read(void *argument)
{
    const struct terminal *terminal = argument;
    return waiting_output(terminal) || slave_is_gone(terminal);
}

static int64_t master_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct terminal *terminal = file->object;
    if (length == 0)
        return 0;
    if (!master_can_read(terminal) && !waits(file))
        return -EAGAIN;
    if (!block_until(master_can_read, terminal, NO_DEADLINE))
        return -EINTR;
    const uint64_t got = terminal_take_output(terminal, buffer, length);
    return got ? (int64_t)got : -EIO;
}

static bool can_type(void *argument)
{
    const struct terminal *terminal = argument;
    return edits_lines(terminal) || terminal->input_end - terminal->input_read < INPUT_BYTES;
}

static int64_t master_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    struct terminal *terminal = file->object;
    uint64_t done = 0;
    while (done < length) {
        if (!can_type(terminal) && !waits(file))
            return done ? (int64_t)done : -EAGAIN;
        if (!block_until(can_type, terminal, NO_DEADLINE))
            return done ? (int64_t)done : -EINTR;
        done += terminal_type(terminal, (const uint8_t *)buffer + done, length - done);
    }
    return (int64_t)done;
}

static int master_events(struct file *file)
{
    struct terminal *terminal = file->object;
    return (waiting_output(terminal) ? EVENT_IN : 0) | (can_type(terminal) ? EVENT_OUT : 0) |
           (slave_is_gone(terminal) ? EVENT_HANG_UP : 0);
}

static uint64_t master_available(struct file *file)
{
    return waiting_output(file->object);
}

/* ---- A slave ---- */

/* What a reader waits for. */
struct typing {
    struct terminal *terminal;
    uint64_t wanted; /* bytes, if lines are not edited */
};

static bool slave_can_read(void *argument)
{
    const struct typing *typing = argument;
    const uint64_t there = readable_input(typing->terminal);
    return !typing->terminal->masters ||
           (edits_lines(typing->terminal) ? there > 0 : there >= typing->wanted);
}

/* Waits for the first bytes: for VTIME if VMIN is zero. */
static void wait_for_first(struct terminal *terminal, uint64_t wanted)
{
    const uint64_t time = terminal->settings.c_cc[VTIME] * TENTH_NS;
    const bool timed = !edits_lines(terminal) && !terminal->settings.c_cc[VMIN];
    struct typing typing = { terminal, wanted };
    block_until(slave_can_read, &typing, timed ? monotonic_ns() + time : NO_DEADLINE);
}

/* Waits for VTIME after each further byte. */
static void wait_for_more(struct terminal *terminal, uint64_t wanted)
{
    const uint64_t time = terminal->settings.c_cc[VTIME] * TENTH_NS;
    struct typing typing = { terminal, readable_input(terminal) + 1 };
    while (!interrupted() && typing.wanted <= wanted &&
           block_until(slave_can_read, &typing, monotonic_ns() + time))
        typing.wanted = readable_input(terminal) + 1;
}

/* Waits for what c_cc asks for. */
static int64_t wait_for_input(struct terminal *terminal, uint64_t length)
{
    const uint64_t least = minimum(terminal->settings.c_cc[VMIN], length);
    const bool between = !edits_lines(terminal) && least && terminal->settings.c_cc[VTIME];
    wait_for_first(terminal, between ? 1 : maximum(least, 1));
    if (between)
        wait_for_more(terminal, least);
    return interrupted() && !readable_input(terminal) ? -EINTR : 0;
}

static int64_t slave_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct terminal *terminal = file->object;
    const bool at_once = !edits_lines(terminal) && !terminal->settings.c_cc[VMIN] &&
                         !terminal->settings.c_cc[VTIME];
    if (!terminal->masters || length == 0)
        return 0;
    if (!waits(file) && !readable_input(terminal))
        return at_once ? 0 : -EAGAIN;
    const int64_t error = waits(file) && !at_once ? wait_for_input(terminal, length) : 0;
    return error ? error : (int64_t)terminal_read(terminal, buffer, length);
}

static bool can_show(void *argument)
{
    const struct terminal *terminal = argument;
    return !terminal->masters ||
           (!terminal->stopped && waiting_output(terminal) + TERMINAL_TAB_WIDTH <= OUTPUT_BYTES);
}

static int64_t slave_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    struct terminal *terminal = file->object;
    uint64_t done = 0;
    while (done < length) {
        if (!can_show(terminal) && !waits(file))
            return done ? (int64_t)done : -EAGAIN;
        if (!block_until(can_show, terminal, NO_DEADLINE))
            return done ? (int64_t)done : -EINTR;
        if (!terminal->masters)
            return done ? (int64_t)done : -EIO;
        done += terminal_show(terminal, (const uint8_t *)buffer + done, length - done);
    }
    return (int64_t)done;
}

static int slave_events(struct file *file)
{
    struct terminal *terminal = file->object;
    if (!terminal->masters)
        return EVENT_IN | EVENT_OUT | EVENT_ERROR | EVENT_HANG_UP;
    const uint8_t least = terminal->settings.c_cc[VMIN];
    struct typing typing = { terminal, least && !terminal->settings.c_cc[VTIME] ? least : 1 };
    return (slave_can_read(&typing) ? EVENT_IN : 0) | (can_show(terminal) ? EVENT_OUT : 0);
}

static uint64_t slave_available(struct file *file)
{
    return readable_input(file->object);
}

/* ---- Both ---- */

static uint64_t activity(struct file *file)
{
    return ((const struct terminal *)file->object)->activity;
}

static void slave_status_of(const struct terminal *terminal, struct status *status)
{
    *status = (struct status){ .device = DEVICE_DEVICES,
                               .inode = FIRST_INODE + terminal->number,
                               .mode = S_IFCHR | 0620,
                               .links = 1,
                               .special = PTS_MAJOR << 8 | terminal->number };
}

static void slave_status(struct file *file, struct status *status)
{
    slave_status_of(file->object, status);
}

static void master_status(struct file *file, struct status *status)
{
    path_status("/dev/ptmx", true, status);
}

static int64_t change_nothing(struct file *file, const struct attributes *change)
{
    return 0;
}

static void free_unused(struct terminal *terminal)
{
    struct terminal **link = &terminals;
    if (terminal->masters || terminal->slaves)
        return;
    while (*link != terminal)
        link = &(*link)->next;
    *link = terminal->next;
    kernel_free(terminal);
}

static void master_release(struct file *file)
{
    struct terminal *terminal = file->object;
    terminal->masters = 0;
    terminal->activity++;
    if (terminal->controlling && terminal->slaves)
        signal_send_to_process(SIGHUP, 0);
    free_unused(terminal);
}

static void slave_release(struct file *file)
{
    struct terminal *terminal = file->object;
    terminal->slaves--;
    terminal->activity++;
    free_unused(terminal);
}

static struct file *open_slave(struct terminal *terminal, int flags, int64_t *error);

static int64_t master_control(struct file *file, uint32_t request, uint64_t argument)
{
    if (request != TIOCGPTPEER)
        return terminal_control(file->object, true, request, argument);
    int64_t error;
    struct file *slave = open_slave(file->object, (int)argument & ~O_CLOEXEC, &error);
    return slave ? descriptor_install(slave, 0, argument & O_CLOEXEC) : error;
}

static int64_t slave_control(struct file *file, uint32_t request, uint64_t argument)
{
    struct terminal *terminal = file->object;
    return terminal->masters ? terminal_control(terminal, false, request, argument) : -EIO;
}

static const struct file_operations master_operations = {
    .read = master_read,
    .write = master_write,
    .change = change_nothing,
    .status = master_status,
    .events = master_events,
    .activity = activity,
    .available = master_available,
    .control = master_control,
    .release = master_release,
};
static const struct file_operations slave_operations = {
    .read = slave_read,
    .write = slave_write,
    .change = change_nothing,
    .status = slave_status,
    .events = slave_events,
    .activity = activity,
    .available = slave_available,
    .control = slave_control,
    .release = slave_release,
};

/* ---- Opening ---- */

static struct terminal *find_number(uint32_t number)
{
    struct terminal *terminal = terminals;
    while (terminal && terminal->number != number)
        terminal = terminal->next;
    return terminal;
}

struct file *pty_open_master(int flags, const char *path, int64_t *error)
{
    uint32_t number = 0;
    while (find_number(number))
        number++;
    struct terminal *terminal = number < MAX_TERMINALS ? kernel_alloc(sizeof *terminal) : NULL;
    struct file *file = terminal ? file_create(&master_operations, terminal, flags, path) : NULL;
    if (!file) {
        kernel_free(terminal);
        *error = number < MAX_TERMINALS ? -ENOMEM : -ENOSPC;
        return NULL;
    }
    terminal->next = terminals;
    terminal->number = number;
    terminal->masters = 1;
    terminal->locked = true;
    terminal_reset(terminal);
    terminals = terminal;
    *error = 0;
    return file;
}

static struct file *open_slave(struct terminal *terminal, int flags, int64_t *error)
{
    char path[32];
    *error = terminal->locked || !terminal->masters ? -EIO : -ENOMEM;
    format(path, sizeof path, "/dev/pts/%u", terminal->number);
    struct file *file = *error == -EIO ? NULL
                                       : file_create(&slave_operations, terminal, flags, path);
    if (!file)
        return NULL;
    terminal->slaves++;
    terminal->was_opened = true;
    terminal->activity++;
    *error = 0;
    return file;
}

/* Returns the terminal of a path such as /dev/pts/0; NULL if it is none. */
static struct terminal *find_path(const char *path)
{
    char name[32];
    for (struct terminal *terminal = terminals; terminal; terminal = terminal->next) {
        format(name, sizeof name, "/dev/pts/%u", terminal->number);
        if (terminal->masters && strcmp(name, path) == 0)
            return terminal;
    }
    return NULL;
}

struct file *pty_open_slave(const char *path, int flags, int64_t *error)
{
    struct terminal *terminal = find_path(path);
    if (terminal)
        return open_slave(terminal, flags, error);
    *error = flags & O_CREAT ? -EACCES : -ENOENT;
    return NULL;
}

struct file *pty_open_controlling(int flags, int64_t *error)
{
    for (struct terminal *terminal = terminals; terminal; terminal = terminal->next)
        if (terminal->controlling && terminal->masters)
            return open_slave(terminal, flags, error);
    *error = -ENXIO;
    return NULL;
}

int64_t pty_status(const char *path, struct status *status)
{
    const struct terminal *terminal = find_path(path);
    if (terminal)
        slave_status_of(terminal, status);
    return terminal ? 0 : -ENOENT;
}

int64_t pty_list(struct file *file, uint64_t position, emit_function *emit, void *sink)
{
    char name[16];
    for (uint64_t number = maximum(position, 2) - 2; number < MAX_TERMINALS; number++) {
        const struct terminal *terminal = find_number((uint32_t)number);
        format(name, sizeof name, "%u", (uint32_t)number);
        if (terminal && terminal->masters &&
            !emit(sink, &(struct directory_item){ name, strlen(name), FIRST_INODE + number,
                                                  number + 3, TYPE_CHARACTER }))
            break;
    }
    return 0;
}
