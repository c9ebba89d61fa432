#include "json_tree.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

/* A value of a record takes about four times the room of its text. */
#define ROOM_PER_BYTE 4
#define ROOM_LEAST 1024

struct kon_json_block {
	struct kon_json_block *next;
	size_t used;
	size_t room;
	alignas(max_align_t) char bytes[];
};

/* Of the tree that is open: cJSON's hooks know no context. It is used by one thread only. */
static struct {
	struct kon_json_block *blocks;
	size_t room; /* of the next block */
} current;

static struct kon_json_block *add_block(size_t least)
{
	size_t room = least > current.room ? least : current.room;
	struct kon_json_block *block = malloc(sizeof(*block) + room);
	if (block == NULL)
		return NULL;
	*block = (struct kon_json_block){.next = current.blocks, .room = room};
	current.blocks = block;
	return block;
}

static void *take(size_t size)
{
	size_t align = alignof(max_align_t);
	struct kon_json_block *block = current.blocks;
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) / align * align;
	if (block == NULL || block->room - block->used < size)
		block = add_block(size);
	if (block == NULL)
		return NULL;
	void *taken = block->bytes + block->used;
	block->used += size;
	return taken;
}

/* All of a tree is given back at once, also what was made before a mistake. */
static void keep(void *taken)
{
	(void)taken;
}

void kon_json_tree_open(size_t room)
{
	cJSON_Hooks hooks = {.malloc_fn = take, .free_fn = keep};
	current.blocks = NULL;
	current.room = room;
	cJSON_InitHooks(&hooks);
}

struct kon_json_tree kon_json_tree_close(cJSON *root)
{
	cJSON_InitHooks(NULL);
	return (struct kon_json_tree){.root = root, .blocks = current.blocks};
}

struct kon_json_tree kon_json_tree_read(const char *text, size_t size, const char **end)
{
	kon_json_tree_open(size < SIZE_MAX / (2 * ROOM_PER_BYTE) ? size * ROOM_PER_BYTE + ROOM_LEAST : ROOM_LEAST);
	return kon_json_tree_close(cJSON_ParseWithLengthOpts(text, size, end, 0));
}

void kon_json_tree_free(struct kon_json_tree *tree)
{
	while (tree->blocks != NULL) {
		struct kon_json_block *next = tree->blocks->next;
		free(tree->blocks);
		tree->blocks = next;
	}
	tree->root = NULL;
}
