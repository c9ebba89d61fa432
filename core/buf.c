#include "buf.h"

#include <stdlib.h>
#include <string.h>

void kon_buf_init(struct kon_buf *buf, size_t cap)
{
	*buf = (struct kon_buf){.cap = cap};
}

void kon_buf_done(struct kon_buf *buf)
{
	free(buf->data);
	*buf = (struct kon_buf){.cap = buf->cap};
}

static bool reserve(struct kon_buf *buf, size_t need)
{
	if (need <= buf->room)
		return true;
	size_t room = buf->room ? buf->room : 256;
	while (room < need)
		room *= 2;
	char *data = realloc(buf->data, room);
	if (data == NULL)
		return false;
	buf->data = data;
	buf->room = room;
	return true;
}

bool kon_buf_add(struct kon_buf *buf, const void *data, size_t size)
{
	if (size > buf->cap - buf->size || !reserve(buf, buf->size + size + 1))
		return false;
	if (size > 0)
		memcpy(buf->data + buf->size, data, size);
	buf->size += size;
	buf->data[buf->size] = '\0';
	return true;
}
