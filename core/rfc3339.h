/* Times as API servers write them. */
#ifndef KON_RFC3339_H
#define KON_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

#define KON_RFC3339_SIZE 28

/* Microseconds since 1970; false for what is no such time between the years 1970 and 9999.  Finer fractions are cut. */
bool kon_rfc3339_read(const char *text, int64_t *us);

/* "2026-01-02T03:04:05.678901Z"; us from 1970 to 9999. */
void kon_rfc3339_print(char out[KON_RFC3339_SIZE], int64_t us);

#endif
