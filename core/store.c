#include "store.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Labels of a-z, 0-9 and inner '-', joined by single dots. */
static bool is_subdomain(const char *text, size_t max, bool dots)
{
	size_t size = strlen(text);
	if (size == 0 || size > max)
		return false;
	for (size_t i = 0; i < size; i++) {
		bool inner = i > 0 && i + 1 < size && (is_alnum(text[i - 1]) || text[i - 1] == text[i]);
		if (is_alnum(text[i]))
			continue;
		if (text[i] == '-' && inner && text[i + 1] != '.')
			continue;
		if (text[i] == '.' && dots && inner && is_alnum(text[i - 1]) && is_alnum(text[i + 1]))
			continue;
		return false;
	}
	return true;
}

static bool is_kind(const char *kind)
{
	size_t size = strlen(kind);
	if (size == 0 || size > 63 || kind[0] < 'A' || kind[0] > 'Z')
		return false;
	for (size_t i = 1; i < size; i++)
		if (!is_alnum(kind[i]) && (kind[i] < 'A' || kind[i] > 'Z'))
			return false;
	return true;
}

int kon_store_check_name(const char *kind, const char *name, struct kon_err *err)
{
	if (!is_kind(kind))
		return kon_err_set(
			err, KON_USAGE,
			"'%.80s' is no kind of record: a capital letter, then letters and digits, at most 63", kind);
	if (!is_subdomain(name, 253, true))
		return kon_err_set(
			err, KON_USAGE,
			"'%.80s' is no name of a record: small letters, digits, '-' and '.', a letter or digit at "
			"both ends and beside each '.', at most 253",
			name);
	return 0;
}

int kon_store_check_namespace(const char *name_space, struct kon_err *err)
{
	if (!is_subdomain(name_space, 63, false))
		return kon_err_set(err, KON_USAGE,
		                   "'%.80s' is no namespace: small letters, digits and inner '-', at most 63",
		                   name_space);
	return 0;
}

static const char *put(char **at, const char *text, size_t size)
{
	char *start = *at;
	memcpy(start, text, size);
	start[size] = '\0';
	*at += size + 1;
	return start;
}

struct kon_record *kon_record_copy(const struct kon_record *record)
{
	size_t kind = strlen(record->kind), name = strlen(record->name), uid = strlen(record->uid);
	size_t created = strlen(record->created), damage = record->damage != NULL ? strlen(record->damage) : 0;
	size_t text = kind + name + uid + created + damage + record->spec_size + record->status_size + 7;
	struct kon_record *copy = malloc(sizeof(*copy) + text);
	if (copy == NULL)
		return NULL;
	char *at = (char *)(copy + 1);
	*copy = *record;
	copy->kind = put(&at, record->kind, kind);
	copy->name = put(&at, record->name, name);
	copy->uid = put(&at, record->uid, uid);
	copy->created = put(&at, record->created, created);
	copy->spec = put(&at, record->spec, record->spec_size);
	copy->status = put(&at, record->status, record->status_size);
	if (record->damage != NULL)
		copy->damage = put(&at, record->damage, damage);
	return copy;
}
