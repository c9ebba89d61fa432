#include "clock.h"

#include <stdio.h>
#include <time.h>

int64_t kon_clock_boot_us(void)
{
	struct timespec now;
	if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
		return INT64_MAX;
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t kon_clock_boot_ms(void)
{
	int64_t now_us = kon_clock_boot_us();
	return now_us == INT64_MAX ? INT64_MAX : now_us / 1000;
}

int64_t kon_clock_wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void kon_clock_wall(char *out, int size)
{
	struct timespec now;
	struct tm utc;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	snprintf(out, (size_t)size, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", utc.tm_year + 1900, utc.tm_mon + 1,
	         utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000);
}
