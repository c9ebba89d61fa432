/* Texts of the API as JSON.
 *
 * A NUL that is escaped is no fault of a text, yet cJSON ends a string there.  Such a text is parsed with another character
 * in its place, and the objects that have it are marked: one of a list must not hide the others. */
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "kube_object.h"

#define ESCAPED 6          /* bytes of both escapes */
#define STAND_IN "\\ufdd0" /* a code point that is no character and never will be */
#define STAND_IN_UTF8 "\xef\xb7\x90"
#define MARK "konductor.io/nul" /* beside metadata, where the API has no field of such a name */

static bool is_in(const cJSON *item)
{
	if (item->string != NULL && strstr(item->string, STAND_IN_UTF8) != NULL)
		return true;
	if (cJSON_IsString(item) && strstr(item->valuestring, STAND_IN_UTF8) != NULL)
		return true;
	for (const cJSON *child = item->child; child != NULL; child = child->next)
		if (is_in(child))
			return true;
	return false;
}

/* The objects are those of a list, that of an event, or the whole. */
static void mark(cJSON *root)
{
	cJSON *items = cJSON_GetObjectItemCaseSensitive(root, "items"), *item;
	cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "object");
	if (!cJSON_IsArray(items)) {
		cJSON_AddTrueToObject(cJSON_IsObject(object) ? object : root, MARK);
		return;
	}
	cJSON_ArrayForEach(item, items)
	{
		if (cJSON_IsObject(item) && is_in(item))
			cJSON_AddTrueToObject(item, MARK);
	}
}

static cJSON *parse(const char *text, size_t size, struct kon_err *err)
{
	const char *end = text;
	cJSON *root = cJSON_ParseWithLengthOpts(text, size, &end, 0);
	if (cJSON_IsObject(root))
		return root;
	cJSON_Delete(root);
	kon_err_set(err, KON_CORRUPT,
	            "the API server's answer is no JSON object: wrong or incomplete at byte %td of %zu", end - text,
	            size);
	return NULL;
}

static cJSON *parse_without(const char *text, size_t size, struct kon_err *err)
{
	char *copy = malloc(size);
	if (copy == NULL)
		abort(); /* the guards kill what runs when we are gone */
	memcpy(copy, text, size);
	char *end = copy + size, *at = copy;
	while ((at = (char *)kon_json_find_nul(at, (size_t)(end - at))) != NULL && *at == '\\')
		memcpy(at, STAND_IN, ESCAPED);
	cJSON *root = NULL;
	if (at != NULL)
		kon_err_set(err, KON_CORRUPT, "the API server's answer has a NUL byte in it");
	else
		root = parse(copy, size, err);
	if (root != NULL)
		mark(root);
	free(copy);
	return root;
}

cJSON *kon_kube_parse(const char *text, size_t size, struct kon_err *err)
{
	return kon_json_find_nul(text, size) == NULL ? parse(text, size, err) : parse_without(text, size, err);
}

bool kon_kube_has_nul(const cJSON *object)
{
	return cJSON_HasObjectItem(object, MARK);
}
