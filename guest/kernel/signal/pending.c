/* Signals that wait to be delivered: of each thread, and of the process (NULL as the thread).
 *
 * A standard signal is pending once, as it was sent first. A real-time signal is pending as often
 * as it was sent, in that order: signal(7). */
#include "mm/alloc.h"
#include "signal/signal.h"

#define MAX_QUEUED 1024u /* of a thread or of the process, beside one of each number */

struct queue {
    uint64_t *set;
    struct pending_signal *info;
    struct queued_signal **more;
};

static struct pending_signal process_info[SIGNALS];
static struct queued_signal *process_more;

static struct queue queue_of(struct thread *thread)
{
    return thread
               ? (struct queue){ &thread->pending.set, thread->pending.info, &thread->pending.more }
               : (struct queue){ &process_signals, process_info, &process_more };
}

static bool is_real_time(int number)
{
    return number >= SIGRTMIN;
}

/* Where a further signal goes; NULL: there are too many. */
static struct queued_signal **end_of(const struct queue *queue)
{
    struct queued_signal **end = queue->more;
    for (unsigned count = 0; *end; end = &(*end)->next)
        if (++count == MAX_QUEUED)
            return NULL;
    return end;
}

bool pending_is_full(struct thread *thread, int number)
{
    const struct queue queue = queue_of(thread);
    return is_real_time(number) && !end_of(&queue);
}

/* Where there is no room or memory for it, one is pending at least. */
static void append(const struct queue *queue, int number, const struct pending_signal *info)
{
    struct queued_signal **end = end_of(queue), *added = end ? kernel_alloc(sizeof *added) : NULL;
    if (!added)
        return;
    *added = (struct queued_signal){ .number = number, .info = *info };
    *end = added;
}

void pending_add(struct thread *thread, int number, const struct pending_signal *info)
{
    const struct queue queue = queue_of(thread);
    if (!(*queue.set & signal_bit(number))) {
        *queue.set |= signal_bit(number);
        queue.info[number - 1] = *info;
    } else if (is_real_time(number)) {
        append(&queue, number, info);
    }
}

static void remove_queued(struct queued_signal **at)
{
    struct queued_signal *removed = *at;
    *at = removed->next;
    kernel_free(removed);
}

/* The next one of the same number takes the place of one that was taken. */
static struct pending_signal take_from(const struct queue *queue, int number)
{
    const struct pending_signal taken = queue->info[number - 1];
    *queue->set &= ~signal_bit(number);
    for (struct queued_signal **at = queue->more; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            *queue->set |= signal_bit(number);
            queue->info[number - 1] = (*at)->info;
            remove_queued(at);
            break;
        }
    return taken;
}

bool pending_take(struct thread *thread, uint64_t wanted, uint64_t shared,
                  struct signal_event *event)
{
    const uint64_t own = thread->pending.set & wanted, set = own ? own : shared & wanted;
    if (!set)
        return false;
    const int number = __builtin_ctzll(set) + 1;
    const struct queue queue = queue_of(own ? thread : NULL);
    const struct pending_signal info = take_from(&queue, number);
    *event = (struct signal_event){
        .number = number, .code = info.code, .address = info.value, .sender = info.sender
    };
    if (event->code == SI_TIMER)
        event->overrun = posix_timer_taken(event->sender);
    return true;
}

static void discard(struct thread *thread, int number)
{
    const struct queue queue = queue_of(thread);
    while (*queue.set & signal_bit(number))
        take_from(&queue, number);
}

void pending_discard(int number)
{
    struct thread *thread = current;
    discard(NULL, number);
    do {
        discard(thread, number);
        thread = thread->next;
    } while (thread != current);
}
