/* Dates and times between SQL and functions: see times.h. The calendar is the Gregorian one, also
 * for the time before it, as in SQLite, Python and Arrow. */
#include "connection/times.h"

#include "udfvm_abi.h"

#include <stdio.h>
#include <string.h>

#define DAYS_BEFORE_1970 719528 /* since 0000-01-01 */
#define SECONDS_PER_DAY  86400
#define MAX_YEAR         9999
#define MAX_DIGITS       9 /* of fractions of a second */

static const uint64_t powers[] = { 1,      10,      100,      1000,      10000,
                                   100000, 1000000, 10000000, 100000000, 1000000000 };

/* ---- The calendar ---- */

struct date {
    int year, month, day;
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_length(int year, int month)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return month == 2 && is_leap(year) ? 29 : lengths[month - 1];
}

/* Days from 0000-01-01 to the first day of a year. The year 0 is a leap year. */
static int days_before(int year)
{
    return 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static int64_t days_of(struct date date)
{
    int days = days_before(date.year) + date.day - 1;
    for (int month = 1; month < date.month; month++)
        days += month_length(date.year, month);
    return days - DAYS_BEFORE_1970;
}

static bool date_of(int64_t since_1970, struct date *date)
{
    if (since_1970 < -DAYS_BEFORE_1970 ||
        since_1970 >= days_before(MAX_YEAR + 1) - DAYS_BEFORE_1970)
        return false;
    int days = (int)since_1970 + DAYS_BEFORE_1970;
    *date = (struct date){ .year = days / 366, .month = 1 };
    while (days >= days_before(date->year + 1))
        date->year++;
    days -= days_before(date->year);
    for (; days >= month_length(date->year, date->month); date->month++)
        days -= month_length(date->year, date->month);
    date->day = days + 1;
    return true;
}

/* Divides and rounds down. */
static int64_t divide(int64_t count, int64_t by, int64_t *rest)
{
    *rest = count % by;
    if (*rest >= 0)
        return count / by;
    *rest += by;
    return count / by - 1;
}

/* ---- Texts ---- */

static int digits_of(uint64_t units)
{
    int digits = 0;
    while (digits < MAX_DIGITS && powers[digits] < units)
        digits++;
    return digits;
}

static size_t write_date(int64_t days, char text[TIMES_TEXT])
{
    struct date date;
    if (!date_of(days, &date))
        return 0;
    return (size_t)snprintf(text, TIMES_TEXT, "%04d-%02d-%02d", date.year, date.month, date.day);
}

/* A fraction of zero is left out where `always` is false. */
static size_t write_time(int64_t seconds, int64_t fraction, uint64_t units, bool always, char *text,
                         size_t capacity)
{
    const int hour = (int)(seconds / 3600), minute = (int)(seconds / 60 % 60),
              second = (int)(seconds % 60);
    int length = snprintf(text, capacity, "%02d:%02d:%02d", hour, minute, second);
    if (units > 1 && (fraction || always))
        length += snprintf(text + length, capacity - (size_t)length, ".%0*lld", digits_of(units),
                           (long long)fraction);
    return (size_t)length;
}

static size_t write_moment(const struct udfvm_sqlite_times *times, int64_t count,
                           char text[TIMES_TEXT])
{
    int64_t fraction, second;
    const int64_t seconds = divide(count, (int64_t)times->units, &fraction);
    size_t length = write_date(divide(seconds, SECONDS_PER_DAY, &second), text);
    if (length == 0)
        return 0;
    text[length++] = ' ';
    length += write_time(second, fraction, times->units, false, text + length, TIMES_TEXT - length);
    if (times->zoned)
        length += (size_t)snprintf(text + length, TIMES_TEXT - length, "+00:00");
    return length;
}

size_t times_write(const struct udfvm_sqlite_times *times, int64_t count, char text[TIMES_TEXT])
{
    const int64_t units = (int64_t)times->units;
    int64_t rest;
    switch (times->form) {
    case UDFVM_SQLITE_DATE_TEXT:
        count = divide(count, units, &rest);
        return rest ? 0 : write_date(count, text);
    case UDFVM_SQLITE_MOMENT_TEXT:
        return write_moment(times, count, text);
    default:
        if (count < 0 || count >= SECONDS_PER_DAY * units)
            return 0;
        return write_time(count / units, count % units, times->units, true, text, TIMES_TEXT);
    }
}

/* What is left of a text that is read. */
struct rest {
    const char *at, *end;
};

static bool read_character(struct rest *rest, char character)
{
    if (rest->at == rest->end || *rest->at != character)
        return false;
    rest->at++;
    return true;
}

static bool read_digit(struct rest *rest, int *digit)
{
    if (rest->at == rest->end || *rest->at < '0' || *rest->at > '9')
        return false;
    *digit = *rest->at++ - '0';
    return true;
}

static bool read_number(struct rest *rest, int digits, int maximum, int *number)
{
    *number = 0;
    for (int i = 0, digit; i < digits; i++) {
        if (!read_digit(rest, &digit))
            return false;
        *number = *number * 10 + digit;
    }
    return *number <= maximum;
}

static bool read_date(struct rest *rest, int64_t *days)
{
    struct date date;
    if (!read_number(rest, 4, MAX_YEAR, &date.year) || !read_character(rest, '-') ||
        !read_number(rest, 2, 12, &date.month) || !read_character(rest, '-') ||
        !read_number(rest, 2, 31, &date.day))
        return false;
    if (date.month == 0 || date.day == 0 || date.day > month_length(date.year, date.month))
        return false;
    *days = days_of(date);
    return true;
}

/* Reads the digits behind the point as a number of `units`. Those beyond the units must be zero. */
static bool read_fraction(struct rest *rest, uint64_t units, int64_t *fraction)
{
    const int digits = digits_of(units);
    int read = 0, digit;
    *fraction = 0;
    for (; read_digit(rest, &digit); read++) {
        if (read < digits)
            *fraction = *fraction * 10 + digit;
        else if (digit)
            return false;
    }
    if (read < digits)
        *fraction *= (int64_t)powers[digits - read];
    return read > 0;
}

static bool read_time(struct rest *rest, uint64_t units, int64_t *seconds, int64_t *fraction)
{
    int hour, minute, second = 0;
    *fraction = 0;
    if (!read_number(rest, 2, 23, &hour) || !read_character(rest, ':') ||
        !read_number(rest, 2, 59, &minute))
        return false;
    if (read_character(rest, ':') &&
        (!read_number(rest, 2, 59, &second) ||
         (read_character(rest, '.') && !read_fraction(rest, units, fraction))))
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

/* Reads an offset from UTC: Z, or +HH:MM. */
static bool read_offset(struct rest *rest, int64_t *seconds)
{
    int hours, minutes;
    *seconds = 0;
    if (read_character(rest, 'Z'))
        return true;
    const bool west = read_character(rest, '-');
    if ((!west && !read_character(rest, '+')) || !read_number(rest, 2, 23, &hours) ||
        !read_character(rest, ':') || !read_number(rest, 2, 59, &minutes))
        return false;
    *seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_moment(const struct udfvm_sqlite_times *times, struct rest *rest, int64_t *count)
{
    int64_t days, seconds, fraction, offset = 0;
    if (!read_date(rest, &days) || (!read_character(rest, ' ') && !read_character(rest, 'T')) ||
        !read_time(rest, times->units, &seconds, &fraction) ||
        (times->zoned && !read_offset(rest, &offset)))
        return false;
    seconds += days * SECONDS_PER_DAY - offset;
    /* A negative product may be beyond the range where the sum is not. */
    const int64_t units = (int64_t)times->units;
    if (seconds < 0 && fraction) {
        seconds++;
        fraction -= units;
    }
    return !__builtin_mul_overflow(seconds, units, count) &&
           !__builtin_add_overflow(*count, fraction, count);
}

bool times_read(const struct udfvm_sqlite_times *times, const char *text, size_t length,
                int64_t *count)
{
    struct rest rest = { text, text + length };
    const int64_t units = (int64_t)times->units;
    int64_t seconds, fraction;
    bool valid;
    switch (times->form) {
    case UDFVM_SQLITE_DATE_TEXT:
        valid = read_date(&rest, count);
        *count = valid ? *count * units : 0;
        break;
    case UDFVM_SQLITE_MOMENT_TEXT:
        valid = read_moment(times, &rest, count);
        break;
    default:
        valid = read_time(&rest, times->units, &seconds, &fraction);
        *count = valid ? seconds * units + fraction : 0;
    }
    return valid && rest.at == rest.end;
}

/* ---- Types and values of SQL ---- */

bool times_valid(const struct udfvm_sqlite_times *times, uint32_t type)
{
    const bool seconds = times->units > 0 && times->units <= powers[MAX_DIGITS] &&
                         powers[digits_of(times->units)] == times->units;
    switch (times->form) {
    case UDFVM_SQLITE_AS_DECLARED:
        return true;
    case UDFVM_SQLITE_DATE_TEXT:
        return type == UDFVM_TYPE_INT64 &&
               (times->units == 1 || times->units == SECONDS_PER_DAY * UINT64_C(1000));
    case UDFVM_SQLITE_MOMENT_TEXT:
        return type == UDFVM_TYPE_INT64 && seconds;
    case UDFVM_SQLITE_TIME_COUNT:
        return type == UDFVM_TYPE_TEXT && seconds;
    default:
        return false;
    }
}

uint32_t times_sql_type(const struct udfvm_sqlite_times *times, uint32_t type)
{
    if (times->form == UDFVM_SQLITE_AS_DECLARED)
        return type;
    return times->form == UDFVM_SQLITE_TIME_COUNT ? UDFVM_TYPE_INT64 : UDFVM_TYPE_TEXT;
}

static const char *expected_moment(const struct udfvm_sqlite_times *times)
{
    const bool whole = times->units == 1;
    if (times->zoned)
        return whole ? "TEXT with a date, a time in whole seconds and an offset, such as "
                       "'2026-01-31 12:00:00+00:00'"
                     : "TEXT with a date, a time and an offset, such as "
                       "'2026-01-31 12:00:00+00:00'";
    return whole ? "TEXT with a date and a time in whole seconds, without an offset, such as "
                   "'2026-01-31 12:00:00'"
                 : "TEXT with a date and a time, without an offset, such as '2026-01-31 12:00:00'";
}

const char *times_expected(const struct udfvm_sqlite_times *times)
{
    switch (times->form) {
    case UDFVM_SQLITE_DATE_TEXT:
        return "TEXT with a date, such as '2026-01-31'";
    case UDFVM_SQLITE_MOMENT_TEXT:
        return expected_moment(times);
    default:
        return "INTEGER, a time since midnight";
    }
}

const char *times_result_count(const struct udfvm_sqlite_times *times, int64_t count,
                               sqlite_library *library, sqlite3_context *context)
{
    sqlite_library *sqlite3_api = library;
    if (times->form == UDFVM_SQLITE_AS_DECLARED) {
        sqlite3_result_int64(context, count);
        return NULL;
    }
    char text[TIMES_TEXT];
    const size_t length = times_write(times, count, text);
    if (length == 0)
        return "a date outside of the years 0 to 9999, which TEXT cannot represent";
    sqlite3_result_text64(context, text, length, SQLITE_TRANSIENT, SQLITE_UTF8);
    return NULL;
}

const char *times_result_text(const struct udfvm_sqlite_times *times, const void *text,
                              size_t length, sqlite_library *library, sqlite3_context *context)
{
    sqlite_library *sqlite3_api = library;
    if (times->form == UDFVM_SQLITE_AS_DECLARED) {
        sqlite3_result_text64(context, text, length, SQLITE_TRANSIENT, SQLITE_UTF8);
        return NULL;
    }
    int64_t count;
    if (!times_read(times, text, length, &count))
        return "TEXT that is not a time of day";
    sqlite3_result_int64(context, count);
    return NULL;
}
