/*
 * The floor under a one-shot request: a bare program of libcurl's that GETs one URL.  Nothing of konductor is in it.
 *
 *   http_get URL [CA_FILE [HEADER]]
 *
 * The header may be "Authorization: Bearer ...".  Prints how many milliseconds passed from main() until the whole
 * answer was there, its status and its size; exits with 1 when there is no answer.
 */
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static size_t count(char *bytes, size_t one, size_t size, void *data)
{
	(void)bytes;
	(void)one;
	*(size_t *)data += size;
	return size;
}

int main(int argc, char **argv)
{
	int64_t from_us = now_us();
	size_t size = 0;
	long status = 0;
	if (argc < 2) {
		fprintf(stderr, "usage: http_get URL [CA_FILE [HEADER]]\n");
		return 64;
	}
	CURL *easy = curl_easy_init();
	if (easy == NULL)
		return 1;
	struct curl_slist *headers = argc > 3 ? curl_slist_append(NULL, argv[3]) : NULL;
	curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
	if (argc > 2)
		curl_easy_setopt(easy, CURLOPT_CAINFO, argv[2]);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, count);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &size);
	CURLcode result = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	int64_t took_us = now_us() - from_us;
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	if (result != CURLE_OK) {
		fprintf(stderr, "%s\n", curl_easy_strerror(result));
		return 1;
	}
	printf("ms %.3f\nstatus %ld\nbytes %zu\n", (double)took_us / 1000.0, status, size);
	return 0;
}
