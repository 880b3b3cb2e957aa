/* Turns to ask the program. In a streaming call the guest runs on a thread of its own, and asks for
 * files while the other thread waits for the program's next message. There is one channel: so the
 * vCPU's thread says that it waits, the program sees that as it waits for the reply, and its
 * message gives the turn. */
#include "jail.h"

void begin_turns(struct jail *jail)
{
    jail->turn.server = pthread_self();
    pthread_mutex_init(&jail->turn.lock, NULL);
    pthread_cond_init(&jail->turn.changed, NULL);
}

static bool is_server(const struct jail *jail)
{
    return pthread_equal(pthread_self(), jail->turn.server) != 0;
}

bool take_turn(struct jail *jail)
{
    struct turn *turn = &jail->turn;
    if (is_server(jail))
        return true;
    pthread_mutex_lock(&turn->lock);
    turn->waits = true;
    atomic_store(&jail->control->stream.asks, true);
    while (!turn->given && !turn->ends)
        pthread_cond_wait(&turn->changed, &turn->lock);
    turn->waits = false;
    atomic_store(&jail->control->stream.asks, false);
    const bool given = turn->given;
    pthread_mutex_unlock(&turn->lock);
    return given;
}

void end_turn(struct jail *jail)
{
    if (is_server(jail))
        return;
    pthread_mutex_lock(&jail->turn.lock);
    jail->turn.given = false;
    pthread_cond_broadcast(&jail->turn.changed);
    pthread_mutex_unlock(&jail->turn.lock);
}

void give_turn(struct jail *jail)
{
    struct turn *turn = &jail->turn;
    pthread_mutex_lock(&turn->lock);
    turn->given = turn->waits;
    pthread_cond_broadcast(&turn->changed);
    while (turn->given)
        pthread_cond_wait(&turn->changed, &turn->lock);
    pthread_mutex_unlock(&turn->lock);
}

void refuse_turns(struct jail *jail, bool refuse)
{
    pthread_mutex_lock(&jail->turn.lock);
    jail->turn.ends = refuse;
    pthread_cond_broadcast(&jail->turn.changed);
    pthread_mutex_unlock(&jail->turn.lock);
}
