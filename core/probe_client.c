#include "probe_client.h"

#include <curl/curl.h>

static size_t discard(char *data, size_t size, size_t count, void *context)
{
	(void)data;
	(void)context;
	return size * count;
}

static CURLcode get(CURL *curl, const char *url, long timeout_ms, char *detail)
{
	const struct {
		CURLoption option;
		const char *value;
	} texts[] = {
		{CURLOPT_URL, url},
		{CURLOPT_PROTOCOLS_STR, "http"},
		{CURLOPT_PROXY, ""}, /* http_proxy is meant for others than ourselves */
		{CURLOPT_USERAGENT, "konductor-probe"},
	};
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{CURLOPT_TIMEOUT_MS, timeout_ms},   {CURLOPT_NOSIGNAL, 1},
		{CURLOPT_FOLLOWLOCATION, 0},        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
		{CURLOPT_MAXFILESIZE, 1024 * 1024}, /* bytes */
	};
	CURLcode result = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	for (size_t i = 0; result == CURLE_OK && i < sizeof(texts) / sizeof(texts[0]); i++)
		result = curl_easy_setopt(curl, texts[i].option, texts[i].value);
	for (size_t i = 0; result == CURLE_OK && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		result = curl_easy_setopt(curl, numbers[i].option, numbers[i].value);
	if (result == CURLE_OK)
		result = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
	return result == CURLE_OK ? curl_easy_perform(curl) : result;
}

static int code_of(CURLcode result)
{
	switch (result) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return KON_CONFIG;
	case CURLE_OPERATION_TIMEDOUT:
		return KON_TIMEOUT;
	default:
		return KON_SYSTEM;
	}
}

int kon_probe_get(const char *url, long timeout_ms, int *http_status, struct kon_err *err)
{
	char detail[CURL_ERROR_SIZE] = "";
	CURL *curl = curl_easy_init();
	if (curl == NULL)
		return kon_err_set(err, KON_SYSTEM, "libcurl does not start");

	CURLcode result = get(curl, url, timeout_ms, detail);
	long status = 0;
	if (result == CURLE_OK)
		result = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	if (result != CURLE_OK)
		return kon_err_set(err, code_of(result), "GET %.200s: %s", url,
		                   detail[0] != '\0' ? detail : curl_easy_strerror(result));
	*http_status = (int)status;
	return 0;
}
