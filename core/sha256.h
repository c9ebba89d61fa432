/* SHA-256 (FIPS 180-4) of a few bytes: for names that are too long. */
#ifndef KON_SHA256_H
#define KON_SHA256_H

#include <stddef.h>

/* 64 hex digits and a NUL. */
void kon_sha256_hex(const void *data, size_t size, char out[65]);

#endif
