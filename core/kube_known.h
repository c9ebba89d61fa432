/*
 * Which objects are known, at which version, so that news are told once and in order.
 *
 * Versions of one resource grow over all its objects, so what is not newer than what is known of a
 * name, or of its end, is no news.
 */
#ifndef KON_KUBE_KNOWN_H
#define KON_KUBE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kon_kube_entry {
	char *object;
	char *name; /* of the record; NULL: it cannot be read */
	int64_t rev;
	bool gone;
	bool listed; /* by the list that is being taken in */
};

struct kon_kube_known {
	struct kon_kube_entry *entries; /* by object */
	size_t count;
	size_t room;
	size_t next; /* to be looked at for what the list did not have */
};

void kon_kube_known_done(struct kon_kube_known *known);

/* The entry when it is news, else NULL.  A name that is not known and is gone is no news. */
struct kon_kube_entry *kon_kube_known_take(struct kon_kube_known *known, const char *object, int64_t rev, bool gone);

/* Before the objects of a list of that version are taken in, and after it, until NULL: the next entry that the list did
 * not have, now gone.  A list that is older than what is known comes from a store that went back in time (restored, or
 * another one at the same address): all that it has is news. */
void kon_kube_known_begin(struct kon_kube_known *known, int64_t rev);
struct kon_kube_entry *kon_kube_known_missing(struct kon_kube_known *known, int64_t rev);

/* When nothing older than what is known can come any more. */
void kon_kube_known_forget_gone(struct kon_kube_known *known);

#endif
