/*
 * Trees of cJSON, each in few blocks of memory.
 *
 * cJSON asks for memory for each value, each name and each string, and wants every one given back by itself. For a record
 * that is half of the work of reading or writing it, and others wait for what comes of it.
 */
#ifndef KON_JSON_TREE_H
#define KON_JSON_TREE_H

#include <cjson/cJSON.h>
#include <stddef.h>

struct kon_json_block;

struct kon_json_tree {
	cJSON *root; /* to be read only: nothing may be added or deleted */
	struct kon_json_block *blocks;
};

/* Reads one value; root is NULL if it is no JSON, or memory is short. *end is what follows it, or where reading ended.
 * To be freed though it could not be read. */
struct kon_json_tree kon_json_tree_read(const char *text, size_t size, const char **end);

/*
 * Between these two, all that cJSON asks for is the tree's, and what it gives back stays until the tree is freed: so
 * nothing else may use cJSON then, and no code that might, such as Lua's collector.
 */
void kon_json_tree_open(size_t room);
struct kon_json_tree kon_json_tree_close(cJSON *root);

void kon_json_tree_free(struct kon_json_tree *tree);

#endif
