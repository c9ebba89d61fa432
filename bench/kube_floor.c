/*
 * The floor under a hand-over on an API server: one process writes an object, a second sees that by its watch and writes
 * it too, and the first sees that by its own watch.  Only libcurl; nothing of konductor is in it.
 *
 *   KUBE_TOKEN=... kube_floor SERVER CA_FILE COLLECTION NAME SUBRESOURCE VERSION WATCHERS ROUNDS PAUSE_MS < TEMPLATE
 *
 * COLLECTION: path of the kind in its namespace; SUBRESOURCE: "/status" or ""; VERSION: the object's resourceVersion now;
 * TEMPLATE: what is PUT, with @RV@ for that version and @N@ for a number that makes each write another one.  WATCHERS
 * more processes watch the object and do nothing else.  Pauses between rounds, so that everybody sleeps before each.
 *
 * Prints one_p50_ms, from a write until it is seen, and both_p50_ms, both_p99_ms, of the two writes.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINE (1 << 20)
#define MAX_BODY 65536
#define WARM_UP 5

struct target {
	const char *server, *ca_file, *collection, *name, *subresource, *version;
	struct curl_slist *headers;
	char template[MAX_BODY];
};

struct client {
	const struct target *target;
	CURLM *multi;
	CURL *watch, *put;
	char line[MAX_LINE];
	size_t length;
	char version[64]; /* of the newest event */
	int seen;         /* writes */
	bool answered;
	char body[MAX_BODY + 256];
};

static void die(const char *what, const char *more)
{
	fprintf(stderr, "kube_floor: %s%s%s\n", what, more != NULL ? ": " : "", more != NULL ? more : "");
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void see(struct client *client)
{
	static const char key[] = "\"resourceVersion\":\"";
	const char *found = strstr(client->line, key);
	if (strstr(client->line, "\"type\":\"MODIFIED\"") == NULL || found == NULL)
		die("not a change", client->line);
	snprintf(client->version, sizeof(client->version), "%.*s", (int)strcspn(found + sizeof(key) - 1, "\""),
	         found + sizeof(key) - 1);
	client->seen++;
}

static size_t on_watch(char *bytes, size_t one, size_t size, void *data)
{
	struct client *client = data;
	(void)one;
	for (size_t i = 0; i < size; i++) {
		if (client->length == sizeof(client->line) - 1)
			die("an event is too long", NULL);
		if (bytes[i] != '\n') {
			client->line[client->length++] = bytes[i];
			continue;
		}
		client->line[client->length] = '\0';
		client->length = 0;
		see(client);
	}
	return size;
}

static size_t ignore(char *bytes, size_t one, size_t size, void *data)
{
	(void)bytes;
	(void)one;
	(void)data;
	return size;
}

static CURL *request(struct client *client, const char *url)
{
	CURL *easy = curl_easy_init();
	if (easy == NULL)
		die("memory", NULL);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_CAINFO, client->target->ca_file);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->target->headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	return easy;
}

static void finish(struct client *client, const CURLMsg *message)
{
	long status = 0;
	if (message->data.result != CURLE_OK)
		die("a request failed", curl_easy_strerror(message->data.result));
	if (message->easy_handle == client->watch)
		die("the watch has ended", client->line);
	curl_easy_getinfo(client->put, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		die("a write was refused", client->body);
	curl_multi_remove_handle(client->multi, client->put);
	client->answered = true;
}

/* Waits for something to happen, and lets it. */
static void pump(struct client *client)
{
	const CURLMsg *message;
	int running, left;
	curl_multi_poll(client->multi, NULL, 0, 1000, NULL);
	curl_multi_perform(client->multi, &running);
	while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
			finish(client, message);
}

static void fill(struct client *client)
{
	char number[16];
	const char *from = client->target->template;
	size_t length = 0;
	snprintf(number, sizeof(number), "%d", client->seen + 1);
	while (*from != '\0' && length < sizeof(client->body) - 100) {
		const char *value = strncmp(from, "@RV@", 4) == 0  ? client->version
		                    : strncmp(from, "@N@", 3) == 0 ? number
		                                                   : NULL;
		if (value != NULL) {
			length += (size_t)snprintf(client->body + length, 99, "%s", value);
			from += value == number ? 3 : 4;
		} else {
			client->body[length++] = *from++;
		}
	}
	client->body[length] = '\0';
}

static void write_next(struct client *client)
{
	fill(client);
	client->answered = false;
	curl_easy_setopt(client->put, CURLOPT_POSTFIELDS, client->body);
	curl_multi_add_handle(client->multi, client->put);
	int running;
	curl_multi_perform(client->multi, &running);
}

static struct client *start(const struct target *target)
{
	char url[2000];
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL || (client->multi = curl_multi_init()) == NULL)
		die("memory", NULL);
	client->target = target;
	client->answered = true;
	snprintf(client->version, sizeof(client->version), "%s", target->version);
	snprintf(url, sizeof(url),
	         "%s%s?watch=1&timeoutSeconds=3600&fieldSelector=metadata.name%%3D%s&resourceVersion=%s",
	         target->server, target->collection, target->name, target->version);
	client->watch = request(client, url);
	curl_easy_setopt(client->watch, CURLOPT_WRITEFUNCTION, on_watch);
	curl_easy_setopt(client->watch, CURLOPT_WRITEDATA, client);
	snprintf(url, sizeof(url), "%s%s/%s%s", target->server, target->collection, target->name, target->subresource);
	client->put = request(client, url);
	curl_easy_setopt(client->put, CURLOPT_CUSTOMREQUEST, "PUT");
	curl_multi_add_handle(client->multi, client->watch);
	return client;
}

/* Another process: it answers each first write with the second, or only looks on. */
static void follow(const struct target *target, bool answers)
{
	pid_t pid = fork();
	if (pid < 0)
		die("fork", NULL);
	if (pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct client *client = start(target);
	for (int written = 0;;) {
		pump(client);
		if (answers && client->answered && client->seen % 2 == 1 && client->seen > written) {
			written = client->seen;
			write_next(client);
		}
	}
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;
	return (left > right) - (left < right);
}

static double at(const int64_t *sorted, int count, double share)
{
	int index = (int)(share * count);
	return (double)sorted[index < count ? index : count - 1] / 1000;
}

/* While nothing of ours is to be done, events and pings are still taken. */
static void rest(struct client *client, long pause_ms)
{
	int running;
	int64_t until_us = now_us() + pause_ms * 1000;
	for (int64_t left_us; (left_us = until_us - now_us()) > 0;) {
		curl_multi_poll(client->multi, NULL, 0, (int)(left_us / 1000 + 1), NULL);
		curl_multi_perform(client->multi, &running);
	}
}

static void measure(struct client *client, int rounds, long pause_ms)
{
	int64_t *one_us = calloc((size_t)rounds, sizeof(*one_us));
	int64_t *both_us = calloc((size_t)rounds, sizeof(*both_us));
	if (one_us == NULL || both_us == NULL)
		die("memory", NULL);
	for (int round = -WARM_UP; round < rounds; round++) {
		int index = round < 0 ? 0 : round;
		int before = client->seen;
		rest(client, pause_ms);
		int64_t from_us = now_us();
		write_next(client);
		while (client->seen == before)
			pump(client);
		one_us[index] = now_us() - from_us;
		while (client->seen < before + 2)
			pump(client);
		both_us[index] = now_us() - from_us;
		while (!client->answered)
			pump(client);
	}
	qsort(one_us, (size_t)rounds, sizeof(*one_us), compare);
	qsort(both_us, (size_t)rounds, sizeof(*both_us), compare);
	printf("one_p50_ms=%.3f both_p50_ms=%.3f both_p99_ms=%.3f\n", at(one_us, rounds, 0.5), at(both_us, rounds, 0.5),
	       at(both_us, rounds, 0.99));
	free(one_us);
	free(both_us);
}

static struct curl_slist *make_headers(void)
{
	const char *token = getenv("KUBE_TOKEN");
	char line[4000];
	snprintf(line, sizeof(line), "Authorization: Bearer %s", token != NULL ? token : "");
	struct curl_slist *headers = curl_slist_append(NULL, line);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	return curl_slist_append(headers, "Accept: application/json");
}

int main(int argc, char **argv)
{
	static struct target target;
	if (argc != 10)
		die("usage: SERVER CA_FILE COLLECTION NAME SUBRESOURCE VERSION WATCHERS ROUNDS PAUSE_MS", NULL);
	target = (struct target){.server = argv[1],
	                         .ca_file = argv[2],
	                         .collection = argv[3],
	                         .name = argv[4],
	                         .subresource = argv[5],
	                         .version = argv[6]};
	int watchers = (int)strtol(argv[7], NULL, 10);
	int rounds = (int)strtol(argv[8], NULL, 10);
	size_t size = fread(target.template, 1, sizeof(target.template) - 1, stdin);
	if (size == 0 || rounds < 1)
		die("no template or no rounds", NULL);
	target.headers = make_headers();
	for (int i = 0; i < watchers; i++)
		follow(&target, false);
	follow(&target, true);
	measure(start(&target), rounds, strtol(argv[9], NULL, 10));
	return 0;
}
