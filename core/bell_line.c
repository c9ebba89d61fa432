#include "bell_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

bool kon_bell_line_put(int fd, const struct kon_ring *ring)
{
	char head[KON_BELL_MAX_WORD + sizeof(" 3800\n")];
	bool has_news = ring->news != NULL && ring->news_size <= KON_BELL_MAX_NEWS;
	int size = has_news ? snprintf(head, sizeof(head), "%.*s %zu\n", KON_BELL_MAX_WORD, ring->word, ring->news_size)
	                    : snprintf(head, sizeof(head), "%.*s\n", KON_BELL_MAX_WORD, ring->word);
	struct iovec parts[] = {
		{head, (size_t)size},
		{has_news ? (void *)ring->news : NULL, has_news ? ring->news_size : 0},
	};
	return writev(fd, parts, 2) >= 0;
}

bool kon_bell_line_next(char **at, char *end, struct kon_ring *out)
{
	char *newline = memchr(*at, '\n', (size_t)(end - *at));
	if (newline == NULL)
		return false;
	*newline = '\0';
	*out = (struct kon_ring){.word = *at};
	*at = newline + 1;
	char *space = strchr(out->word, ' ');
	if (space == NULL)
		return true;
	char *behind;
	*space = '\0';
	out->news_size = strtoul(space + 1, &behind, 10);
	out->news = *at;
	if (*behind != '\0' || out->news_size > (size_t)(end - *at)) {
		*out = (struct kon_ring){0};
		*at = end;
		return true;
	}
	*at += out->news_size;
	return true;
}
