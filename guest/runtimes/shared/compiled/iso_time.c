/* See iso_time.h. Days are counted in years that begin with March, so that a leap day is a year's
 * last. */
#include "shared/compiled/iso_time.h"

#include <stdio.h>
#include <string.h>

#include "shared/compiled/scanner.h"

#define DAY_SECONDS 86400
#define ERA_DAYS    146097 /* days of 400 years, after which the calendar repeats */
#define EPOCH_DAYS  719468 /* days from March 1 of the year 0 to January 1, 1970 */
#define MAX_YEAR    10000000

static int64_t floor_divide(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

static int64_t units_of(enum type_time time)
{
    static const int64_t units[] = { [TIME_SECONDS] = 1,
                                     [TIME_MILLISECONDS] = 1000,
                                     [TIME_MICROSECONDS] = 1000000,
                                     [TIME_NANOSECONDS] = 1000000000 };
    return units[time];
}

static int64_t days_of(int64_t year, int month, int day)
{
    const int64_t from_march = year - (month < 3), era = floor_divide(from_march, 400),
                  year_of_era = from_march - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           EPOCH_DAYS;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
    const int64_t era = floor_divide(days + EPOCH_DAYS, ERA_DAYS),
                  day_of_era = days + EPOCH_DAYS - era * ERA_DAYS;
    const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                                 day_of_era / 146096) /
                                365;
    const int64_t day_of_year = day_of_era -
                                (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int from_march = (int)((5 * day_of_year + 2) / 153);
    *day = (int)(day_of_year - (153 * from_march + 2) / 5) + 1;
    *month = from_march + (from_march < 10 ? 3 : -9);
    *year = year_of_era + era * 400 + (*month < 3);
}

void iso_time_write(enum type_time time, int64_t count, char text[MAX_ISO_TIME])
{
    const int64_t units = time == TIME_DAYS ? 1 : units_of(time),
                  seconds = time == TIME_DAYS ? 0 : floor_divide(count, units);
    const int64_t days = time == TIME_DAYS ? count : floor_divide(seconds, DAY_SECONDS),
                  of_day = seconds - days * DAY_SECONDS;
    int64_t year, nanoseconds = time == TIME_DAYS ? 0
                                                  : (count - seconds * units) *
                                                        (units_of(TIME_NANOSECONDS) / units);
    int month, day;
    date_of(days, &year, &month, &day);
    int used = snprintf(text, MAX_ISO_TIME, "%s%04lld-%02d-%02d", year < 0 ? "-" : "",
                        (long long)(year < 0 ? -year : year), month, day);
    if (time == TIME_DAYS)
        return;
    used += snprintf(text + used, (size_t)(MAX_ISO_TIME - used), "T%02d:%02d:%02d",
                     (int)(of_day / 3600), (int)(of_day / 60 % 60), (int)(of_day % 60));
    const bool fine = nanoseconds % 1000 != 0;
    if (nanoseconds != 0)
        snprintf(text + used, (size_t)(MAX_ISO_TIME - used), ".%0*lld", fine ? 9 : 6,
                 (long long)(fine ? nanoseconds : nanoseconds / 1000));
}

/* ---- Reading ---- */

static bool take_number(struct scanner *scanner, int min_digits, int max_digits, int64_t *number)
{
    int digits = 0;
    for (*number = 0; digits < max_digits && scanner_at_digit(scanner); digits++)
        *number = *number * 10 + (*scanner->at++ - '0');
    return digits >= min_digits;
}

static bool is_date(int64_t year, int64_t month, int64_t day)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && year > -MAX_YEAR && year < MAX_YEAR && day >= 1 &&
           day <= lengths[month - 1] + (leap && month == 2);
}

static bool take_date(struct scanner *scanner, int64_t *days)
{
    const bool before = scanner_accept(scanner, '-');
    int64_t year, month, day;
    if (!take_number(scanner, 4, 7, &year) || !scanner_accept(scanner, '-') ||
        !take_number(scanner, 2, 2, &month) || !scanner_accept(scanner, '-') ||
        !take_number(scanner, 2, 2, &day))
        return false;
    year = before ? -year : year;
    if (!is_date(year, month, day))
        return false;
    *days = days_of(year, (int)month, (int)day);
    return true;
}

/* Reads the digits after the point as units of a second. Returns false if there are more digits
 * than the unit has. */
static bool take_fraction(struct scanner *scanner, int64_t units, int64_t *fraction)
{
    const char *begin = scanner->at;
    *fraction = 0;
    for (; scanner_at_digit(scanner); scanner->at++) {
        units /= 10;
        if (units == 0 && *scanner->at != '0')
            return false;
        *fraction += (*scanner->at - '0') * units;
    }
    return scanner->at > begin;
}

/* Reads "12:30" or "12:30:00.5" as whole seconds, and units of the last second. */
static bool take_time_of_day(struct scanner *scanner, int64_t units, int64_t *whole,
                             int64_t *fraction)
{
    int64_t hours, minutes, seconds = 0;
    *fraction = 0;
    if (!take_number(scanner, 2, 2, &hours) || !scanner_accept(scanner, ':') ||
        !take_number(scanner, 2, 2, &minutes) ||
        (scanner_accept(scanner, ':') && !take_number(scanner, 2, 2, &seconds)) ||
        (scanner_accept(scanner, '.') && !take_fraction(scanner, units, fraction)))
        return false;
    *whole = hours * 3600 + minutes * 60 + seconds;
    return hours <= 23 && minutes <= 59 && seconds <= 59;
}

bool iso_time_read(enum type_time time, const char *text, size_t length, int64_t *count)
{
    struct scanner scanner = { text, text + length };
    int64_t days, seconds, fraction;
    if (!take_date(&scanner, &days))
        return false;
    if (time == TIME_DAYS) {
        *count = days;
        return scanner.at == scanner.end;
    }
    const int64_t units = units_of(time);
    if (!scanner_accept(&scanner, 'T') && !scanner_accept(&scanner, ' '))
        return false;
    if (!take_time_of_day(&scanner, units, &seconds, &fraction))
        return false;
    scanner_accept(&scanner, 'Z');
    return !__builtin_mul_overflow(days * DAY_SECONDS + seconds, units, count) &&
           !__builtin_add_overflow(*count, fraction, count) && scanner.at == scanner.end;
}
