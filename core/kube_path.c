#include "kube_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *checked(int result, char *text)
{
	if (result < 0)
		abort(); /* the guards kill what runs when we are gone */
	return text;
}

char *kon_kube_path_object(const struct kon_kube_dialect *dialect, const char *name_space, const char *kind,
                           const char *object, const char *tail)
{
	char *path = NULL;
	int result = asprintf(&path, "%s/namespaces/%s/%s%s%s%s", dialect->group, name_space, dialect->plural(kind),
	                      object[0] != '\0' ? "/" : "", object, tail);
	return checked(result, path);
}

char *kon_kube_path_list(const struct kon_kube_dialect *dialect, const char *name_space, const char *kind,
                         const char *object, const char *tail)
{
	char *path = NULL;
	const char *selector = object != NULL            ? "fieldSelector=metadata.name%3D"
	                       : dialect->labelled(kind) ? "labelSelector=konductor.io%2Fkind%3D"
	                                                 : "";
	const char *value = object != NULL ? object : dialect->labelled(kind) ? kind : "";
	int result = asprintf(&path, "%s/namespaces/%s/%s?%s%s%s", dialect->group, name_space, dialect->plural(kind),
	                      selector, value, selector[0] == '\0' && tail[0] == '&' ? tail + 1 : tail);
	return checked(result, path);
}

char *kon_kube_path_quote(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char digits[] = "0123456789ABCDEF";
	char *out = malloc(strlen(text) * 3 + 1), *at = out;
	if (out == NULL)
		abort();
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (strchr(plain, c) != NULL) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		}
	}
	*at = '\0';
	return out;
}
