/*
 * Liveness: whether any process of a session still lives, told by the kernel.
 *
 * A session is a named pipe, DIR/<session>, whose writing end its process holds open and
 * hands to the guards of its children (kon_proc_spec.keep_fd).  The kernel closes it when
 * the last of them is gone, however they went, and tells everybody who has the reading end
 * open.  No pid is involved, so it holds across containers and pid, network and mount
 * namespaces that share the directory, and after a reboot, when nobody has the pipe open.
 *
 * A session's pipe is open before the session is written anywhere else.  Hence: a pipe
 * without writer is a dead session; a missing pipe says nothing (somebody may have cleaned
 * the directory), and the time limits of policies decide.
 */
#ifndef KON_SESSION_H
#define KON_SESSION_H

#include <stdbool.h>

#include "err.h"
#include "loop.h"

enum { KON_SESSION_DIGITS = 32 };

struct kon_session;
struct kon_peer;

/* 32 lower-case hexadecimal digits: nothing else is ever used as a file name. */
bool kon_session_valid(const char *session);

/* Makes DIR/<session> (dir exists) and removes the pipes of sessions dead for over an hour.
 * KON_USAGE: not a session; KON_DENIED, KON_FULL, KON_STORE (in use, among others). */
int kon_session_open(struct kon_session **out, const char *dir, const char *session, struct kon_err *err);

/* For kon_proc_spec.keep_fd; valid until kon_session_close. */
int kon_session_fd(const struct kon_session *session);

/* Closes our end; whoever watches hears of it once the last guard is gone.  With forget the name goes too: right only
 * when no record names this session any more, because those who ask later then learn nothing.  NULL is fine. */
void kon_session_close(struct kon_session *session, bool forget);

/* Calls gone(data) once, from the loop, when no process of the session lives; at once if none does.  Never when
 * that cannot be known, or when session is none.  KON_SYSTEM: no descriptors left. */
int kon_peer_watch(struct kon_loop *loop, const char *dir, const char *session, void (*gone)(void *data), void *data,
                   struct kon_peer **out, struct kon_err *err);

/* Fine before and after gone, but not within it.  NULL is fine. */
void kon_peer_free(struct kon_peer *peer);

#endif
