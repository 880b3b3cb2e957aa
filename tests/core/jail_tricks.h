/* What hostile_jail.c does when test_jail.c asks for it. */
#ifndef JAIL_TRICKS_H
#define JAIL_TRICKS_H

#define TRICK                                                                                    \
    0x7a11u /* in the upper half of a request's third word, that of BOOT included; the lower has \
               the number */

#define FROZEN_REPLY (2u << 20) /* bytes: the process is to stand still */

enum trick {
    HONEST,
    FAIL_ODDLY, /* codes that no guest can bring about */
    FAIL_ODDLY_LAST = FAIL_ODDLY + 6,
    CRASH_WITH_TEXT,
    UNKNOWN_STATUS,
    NEGATIVE_STATUS,
    LONG_REPLY,
    REPLY_PAST_WINDOW,
    REPLY_IN_PLACE_PAST_SCRATCH,
    SEALED,
    UNSEALED,
    LONG_REPLY_CHANGES,   /* threads write to it all the time */
    LONG_REPLY_CONTINUES, /* so do they, and continue each other between stops */
    LONG_REPLY_GOES_ON,   /* the process does not stop */
    ASK_FOR_HOST_FUNCTION,
    LONG_ARGUMENTS,
    LONG_NAME,
    LONG_LOG,
    MUCH_LOG,
    ASK_FOR_FILE,
    LONG_PATH,
    READ_FAR,
    READ_MUCH,
    LOG_NOTHING, /* again and again */
    UNKNOWN_QUESTION,
    ANSWER_TOO_MUCH,
    NO_ANSWER,
    EXIT,
    OPEN_FILE,
    SLOW_BETWEEN_CALLS, /* from then on */
    TRICKS,
    SLOWER_BETWEEN_CALLS = TRICKS, /* the same; this one and those behind have tests of their own */
    DIE_AFTER_NEXT_CALL,
    ASK_ALWAYS,        /* for what takes no time, and is nothing */
    ASK_AND_DIE,       /* for a host function */
    WANT_TURNS,        /* of streaming calls, from then on */
    DIE_BEFORE_ANSWER, /* and so many answers */
    DIE_BEHIND_ANSWER = DIE_BEFORE_ANSWER + 64,
};

#endif
