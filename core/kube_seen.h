/*
 * The whole objects behind records that were handed out lately: what is replaced as a whole must keep
 * what others have written into it.  A few of them; who finds none asks the server again.
 */
#ifndef KON_KUBE_SEEN_H
#define KON_KUBE_SEEN_H

#include <cjson/cJSON.h>
#include <stdint.h>

#define KON_KUBE_SEEN 32

struct kon_kube_seen {
	struct {
		cJSON *object; /* NULL: free */
		uint64_t used;
	} entries[KON_KUBE_SEEN];
	uint64_t clock;
};

/* Keeps a copy, instead of any other version of that name, and of the one that was not needed for longest. */
void kon_kube_seen_put(struct kon_kube_seen *seen, const cJSON *object);

/* The object of that name at that version, until the next put; or NULL. */
const cJSON *kon_kube_seen_get(struct kon_kube_seen *seen, const char *object_name, const char *uid, int64_t rev);

void kon_kube_seen_done(struct kon_kube_seen *seen);

#endif
