#include "kube_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define REREAD_MS 60000
#define MAX_TOKEN ((size_t)64 << 10)

/* Forgets the text before it goes back to the heap. */
static void wipe(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

int kon_kube_token_set(struct kon_kube_token *self, const char *token, struct kon_err *err)
{
	char *header = NULL;
	if (token[0] == '\0' || strpbrk(token, "\r\n") != NULL)
		return kon_err_set(err, KON_CONFIG, "the token is empty or has a line break in it");
	if (asprintf(&header, "Authorization: Bearer %s", token) < 0)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	wipe(self->header);
	self->header = header;
	return 0;
}

/* The token in text, which has room for one byte behind size. */
static int take_text(struct kon_kube_token *self, char *text, size_t size, struct kon_err *err)
{
	if (size > MAX_TOKEN)
		return kon_err_set(err, KON_CONFIG, "the token file %.200s is larger than %zu KiB", self->file,
		                   MAX_TOKEN >> 10);
	while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL)
		size--;
	text[size] = '\0';
	int code = strlen(text) == size ? kon_kube_token_set(self, text, err) : KON_CONFIG;
	if (code == KON_CONFIG)
		kon_err_set(err, code, "the token file %.200s is empty, or has more than one line or a NUL byte",
		            self->file);
	return code;
}

int kon_kube_token_reread(struct kon_kube_token *self, int64_t now_ms, struct kon_err *err)
{
	self->read_at_ms = now_ms;
	int fd = open(self->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return kon_err_errno(err, KON_CONFIG, errno, "the token file %.200s cannot be opened", self->file);
	char *text = malloc(MAX_TOKEN + 2);
	ssize_t size = text != NULL ? read(fd, text, MAX_TOKEN + 1) : -1;
	int reason = errno;
	close(fd);
	int code = size >= 0
	                   ? take_text(self, text, (size_t)size, err)
	                   : kon_err_errno(err, KON_CONFIG, reason, "the token file %.200s cannot be read", self->file);
	if (size > 0)
		explicit_bzero(text, (size_t)size);
	free(text);
	return code;
}

static char *base64(const char *text, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = malloc((size + 2) / 3 * 4 + 1), *at = out;
	for (size_t i = 0; out != NULL && i < size; i += 3) {
		unsigned n = (unsigned char)text[i] << 16U;
		n |= i + 1 < size ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
		n |= i + 2 < size ? (unsigned char)text[i + 2] : 0;
		*at++ = digits[n >> 18];
		*at++ = digits[n >> 12 & 63];
		*at++ = '=';
		*at++ = '=';
		if (i + 1 < size)
			at[-2] = digits[n >> 6 & 63];
		if (i + 2 < size)
			at[-1] = digits[n & 63];
	}
	if (out != NULL)
		*at = '\0';
	return out;
}

static int set_password(struct kon_kube_token *self, const char *username, const char *password, struct kon_err *err)
{
	char *pair = NULL, *encoded = NULL;
	if (asprintf(&pair, "%s:%s", username, password != NULL ? password : "") < 0)
		pair = NULL;
	if (pair != NULL)
		encoded = base64(pair, strlen(pair));
	if (encoded == NULL || asprintf(&self->header, "Authorization: Basic %s", encoded) < 0)
		self->header = NULL;
	wipe(pair);
	wipe(encoded);
	return self->header != NULL ? 0 : kon_err_set(err, KON_SYSTEM, "out of memory");
}

int kon_kube_token_init(struct kon_kube_token *self, const char *token, const char *file, const char *username,
                        const char *password, struct kon_err *err)
{
	*self = (struct kon_kube_token){0};
	if (file != NULL) {
		self->file = strdup(file);
		if (self->file == NULL)
			return kon_err_set(err, KON_SYSTEM, "out of memory");
		return kon_kube_token_reread(self, kon_clock_boot_ms(), err);
	}
	if (token != NULL)
		return kon_kube_token_set(self, token, err);
	return username != NULL ? set_password(self, username, password, err) : 0;
}

void kon_kube_token_done(struct kon_kube_token *self)
{
	wipe(self->header);
	free(self->file);
	*self = (struct kon_kube_token){0};
}

const char *kon_kube_token_header(struct kon_kube_token *self, int64_t now_ms)
{
	struct kon_err err;
	if (self->file != NULL && now_ms - self->read_at_ms >= REREAD_MS)
		(void)kon_kube_token_reread(self, now_ms,
		                            &err); /* a file that is being replaced is there the next time */
	return self->header;
}
