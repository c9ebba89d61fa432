/* Paths and queries of the resources that keep records; each result is to be freed.  The parts are checked names. */
#ifndef KON_KUBE_PATH_H
#define KON_KUBE_PATH_H

#include "kube_object.h"

/* .../leases/NAME, with tail behind it. */
char *kon_kube_path_object(const struct kon_kube_dialect *dialect, const char *name_space, const char *kind,
                           const char *object, const char *tail);

/* .../leases?..., of one object or, for NULL, of the kind, with tail ("&limit=1") behind it. */
char *kon_kube_path_list(const struct kon_kube_dialect *dialect, const char *name_space, const char *kind,
                         const char *object, const char *tail);

/* For a query: everything but letters, digits, '-', '.', '_' and '~' as %XX. */
char *kon_kube_path_quote(const char *text);

#endif
