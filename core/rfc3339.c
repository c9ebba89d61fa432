#include "rfc3339.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Reads so many digits; -1 for anything else. */
static int digits(const char **at, int count)
{
	int value = 0;
	for (; count > 0; count--, (*at)++) {
		if (**at < '0' || **at > '9')
			return -1;
		value = value * 10 + (**at - '0');
	}
	return value;
}

static bool take(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool read_offset(const char **at, int *seconds)
{
	*seconds = 0;
	if (take(at, 'Z') || take(at, 'z'))
		return **at == '\0';
	int sign = take(at, '-') ? -1 : take(at, '+') ? 1 : 0;
	int hours = digits(at, 2);
	bool colon = hours >= 0 && take(at, ':');
	int minutes = colon ? digits(at, 2) : -1;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return sign != 0 && hours <= 23 && minutes >= 0 && minutes <= 59 && **at == '\0';
}

bool kon_rfc3339_read(const char *text, int64_t *us)
{
	struct tm tm = {0};
	const char *at = text;
	int fraction = 0, offset;
	tm.tm_year = digits(&at, 4) - 1900;
	bool ok = tm.tm_year >= 70 && take(&at, '-') && (tm.tm_mon = digits(&at, 2) - 1) >= 0 && take(&at, '-') &&
	          (tm.tm_mday = digits(&at, 2)) >= 1 && (take(&at, 'T') || take(&at, 't')) &&
	          (tm.tm_hour = digits(&at, 2)) >= 0 && take(&at, ':') && (tm.tm_min = digits(&at, 2)) >= 0 &&
	          take(&at, ':') && (tm.tm_sec = digits(&at, 2)) >= 0;
	if (!ok || tm.tm_mon > 11 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	if (take(&at, '.')) {
		int count = 0;
		for (; *at >= '0' && *at <= '9'; at++, count++)
			fraction = count < 6 ? fraction * 10 + (*at - '0') : fraction;
		if (count == 0)
			return false;
		for (; count < 6; count++)
			fraction *= 10;
	}
	if (!read_offset(&at, &offset))
		return false;
	*us = ((int64_t)timegm(&tm) - offset) * 1000000 + fraction;
	return *us >= 0;
}

void kon_rfc3339_print(char out[KON_RFC3339_SIZE], int64_t us)
{
	struct tm tm;
	char fraction[16];
	time_t seconds = (time_t)(us / 1000000);
	gmtime_r(&seconds, &tm);
	size_t used = strftime(out, KON_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	int size = snprintf(fraction, sizeof(fraction), ".%06dZ", (int)(us % 1000000));
	memcpy(out + used, fraction, (size_t)size + 1);
}
