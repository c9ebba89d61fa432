/* Everything that libcurl is told of a request: one place to see what konductor's requests are like. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_impl.h"

#define BUFFER_BYTES 16384L /* of each connection: a process stands by for hours with one stream */
#define PLACE_BYTES 200
#define AGENT "konductor/" KONDUCTOR_VERSION

/* ---- sockets ---- */

static void set_number(int fd, int level, int option, int value)
{
	/* A kernel that lacks one of them notices dead connections later; deadlines hold nevertheless. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* Ours, for SOCK_CLOEXEC, and so that a peer that vanished is noticed within 30 s on an idle stream and within 20 s
 * while something is sent. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)data;
	(void)purpose;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (address->socktype == SOCK_STREAM && (address->family == AF_INET || address->family == AF_INET6)) {
		set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);        /* s */
		set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);        /* s */
		set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);          /* probes */
		set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 20000); /* ms */
	}
	return fd;
}

/* ---- the client's options ---- */

static int copy(const char *text, char **out, struct kon_err *err)
{
	*out = text != NULL ? strdup(text) : NULL;
	return text != NULL && *out == NULL ? kon_err_set(err, KON_SYSTEM, "out of memory") : 0;
}

/* A libcurl built for one distribution knows where that one keeps its bundle; a static one runs on all. */
static const char *system_ca_file(void)
{
	static const char *const common[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine, Arch */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
		"/etc/ssl/ca-bundle.pem",             /* openSUSE */
		"/etc/ssl/cert.pem",                  /* the BSDs, also Alpine */
	};
	const char *named = getenv("SSL_CERT_FILE");
	if (named != NULL && *named != '\0')
		return named;
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (access(common[i], R_OK) == 0)
			return common[i];
	return NULL;
}

static const struct {
	const char *scheme;
	const char *as; /* socks5: the proxy resolves the names, as those who set one expect */
	const char *port;
} proxies[] = {
	{"http", "http", "80"},
	{"https", "https", "443"},
	{"socks5", "socks5h", "1080"},
	{"socks5h", "socks5h", "1080"},
};

static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
	char *text = NULL;
	return curl_url_get(url, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static int read_proxy(struct kon_http *http, CURLU *url, struct kon_err *err)
{
	char *scheme = url_part(url, CURLUPART_SCHEME, 0);
	char *host = url_part(url, CURLUPART_HOST, 0);
	char *port = url_part(url, CURLUPART_PORT, 0);
	int code =
		kon_err_set(err, KON_CONFIG, "a proxy is given as http://, https:// or socks5://, then host and port");
	for (size_t i = 0; scheme != NULL && host != NULL && i < sizeof(proxies) / sizeof(proxies[0]); i++) {
		if (strcmp(scheme, proxies[i].scheme) != 0)
			continue;
		char clean[512];
		int size = snprintf(clean, sizeof(clean), "%s://%s:%s", proxies[i].as, host,
		                    port != NULL ? port : proxies[i].port);
		if (size > 0 && (size_t)size < sizeof(clean))
			code = copy(clean, &http->proxy, err);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return code;
}

static int set_up_proxy(struct kon_http *http, const char *proxy, struct kon_err *err)
{
	if (proxy == NULL || *proxy == '\0')
		return 0;
	CURLU *url = curl_url();
	if (url == NULL)
		return kon_err_set(err, KON_SYSTEM, "out of memory");
	int code = 0;
	/* libcurl's own sentences about proxies show the password: it never sees it as part of the address. */
	if (curl_url_set(url, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
		code = kon_err_set(err, KON_CONFIG,
		                   "the address of the proxy cannot be read; expected http://host:port");
	else
		code = read_proxy(http, url, err);
	if (code == 0) {
		char *user = url_part(url, CURLUPART_USER, CURLU_URLDECODE);
		char *password = url_part(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
		code = copy(user, &http->proxy_user, err);
		if (code == 0)
			code = copy(password, &http->proxy_password, err);
		curl_free(user);
		curl_free(password);
	}
	curl_url_cleanup(url);
	return code;
}

int kon_http_setup(struct kon_http *http, const struct kon_http_options *options, struct kon_err *err)
{
	http->insecure = options->insecure;
	http->http1_only = options->http1_only;
	if (options->ca_pem == NULL)
		http->ca_file = system_ca_file();
	int code = copy(options->ca_pem, &http->ca_pem, err);
	if (code == 0)
		code = copy(options->origin, &http->origin, err);
	if (code == 0)
		code = copy(options->tls_server_name, &http->tls_server_name, err);
	if (code == 0)
		code = set_up_proxy(http, options->proxy, err);
	if (code == 0)
		code = kon_http_identity(http, options->cert_pem, options->key_pem, err);
	if (code != 0)
		return code;
	http->share = curl_share_init();
	if (http->share == NULL ||
	    curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
		return kon_err_set(err, KON_SYSTEM, "libcurl does not start");
	return 0;
}

/* ---- a request ---- */

/* Without the query, which is long, and without a user in front of the host. */
static char *place_of(const struct kon_http_request *request)
{
	const char *url = request->url;
	const char *host = strstr(url, "://");
	host = host != NULL ? host + 3 : url;
	size_t to_path = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', to_path);
	const char *shown = at != NULL ? at + 1 : host;
	char text[PLACE_BYTES];
	snprintf(text, sizeof(text), "%s %.*s%.*s", request->method, (int)(host - url), url, (int)strcspn(shown, "?#"),
	         shown);
	return strdup(text);
}

static bool add_header(struct kon_http_call *call, const char *line)
{
	struct curl_slist *longer = curl_slist_append(call->headers, line);
	if (longer == NULL)
		return false;
	call->headers = longer;
	return true;
}

static bool gives(const struct kon_http_request *request, const char *name)
{
	for (const char *const *line = request->headers; line != NULL && *line != NULL; line++)
		if (strncasecmp(*line, name, strlen(name)) == 0)
			return true;
	return false;
}

static bool set_headers(struct kon_http_call *call, const struct kon_http_request *request)
{
	bool fine = add_header(call, "Expect:"); /* never wait for 100 Continue */
	if (fine && !gives(request, "Content-Type:"))
		fine = add_header(call, "Content-Type:"); /* not libcurl's guess that it is a form */
	for (const char *const *line = request->headers; fine && line != NULL && *line != NULL; line++)
		fine = add_header(call, *line);
	return fine;
}

/* The name that TLS asks for is put into the URL, as libcurl takes it from there; the connection still goes to the
 * host that was given, and the Host header names that one. */
static CURLcode rename_host(struct kon_http_call *call, const struct kon_http_request *request, CURLU *url)
{
	char *host = url_part(url, CURLUPART_HOST, 0);
	char *port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	char line[600];
	CURLcode code = CURLE_URL_MALFORMAT;
	if (host != NULL && port != NULL && strlen(host) < 256) {
		code = CURLE_OUT_OF_MEMORY;
		snprintf(line, sizeof(line), "Host: %s:%s", host, port);
		bool fine = gives(request, "Host:") || add_header(call, line);
		snprintf(line, sizeof(line), "::%s:%s", host, port);
		call->connect_to = curl_slist_append(NULL, line);
		if (fine && call->connect_to != NULL &&
		    curl_url_set(url, CURLUPART_HOST, call->http->tls_server_name, 0) == CURLUE_OK)
			code = curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
	}
	curl_free(host);
	curl_free(port);
	return code;
}

static CURLcode set_url(struct kon_http_call *call, const struct kon_http_request *request)
{
	if (call->http->tls_server_name == NULL)
		return curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
	CURLU *url = curl_url();
	if (url == NULL)
		return CURLE_OUT_OF_MEMORY;
	CURLcode code = CURLE_URL_MALFORMAT;
	if (curl_url_set(url, CURLUPART_URL, request->url, CURLU_DISALLOW_USER) == CURLUE_OK)
		code = rename_host(call, request, url);
	char *whole = code == CURLE_OK ? url_part(url, CURLUPART_URL, 0) : NULL;
	if (code == CURLE_OK)
		code = whole != NULL ? curl_easy_setopt(call->easy, CURLOPT_URL, whole) : CURLE_OUT_OF_MEMORY;
	curl_free(whole);
	curl_url_cleanup(url);
	return code;
}

static CURLcode set_pem(CURL *easy, CURLoption option, const char *pem)
{
	if (pem == NULL)
		return CURLE_OK;
	struct curl_blob blob = {.data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
	return curl_easy_setopt(easy, option, &blob);
}

static CURLcode set_identity(struct kon_http *http, CURL *easy)
{
	CURLcode code = set_pem(easy, CURLOPT_CAINFO_BLOB, http->ca_pem);
	if (code == CURLE_OK)
		code = set_pem(easy, CURLOPT_SSLCERT_BLOB, http->cert_pem);
	if (code == CURLE_OK)
		code = set_pem(easy, CURLOPT_SSLKEY_BLOB, http->key_pem);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, kon_http_on_ssl_ctx);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, http);
	return code;
}

static CURLcode set_body(CURL *easy, const struct kon_http_request *request)
{
	const char *method = request->method;
	if (strcmp(method, "HEAD") == 0)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	bool needed = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
	if (request->body == NULL && !needed)
		return CURLE_OK;
	CURLcode code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
	                                 (curl_off_t)(request->body != NULL ? request->size : 0));
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body != NULL ? request->body : "");
	return code;
}

/* An empty proxy or list of exceptions keeps libcurl from asking the environment. */
static CURLcode set_texts(struct kon_http_call *call, const struct kon_http_request *request)
{
	struct kon_http *http = call->http;
	const struct {
		CURLoption option;
		const char *value; /* NULL: left as it is */
	} texts[] = {
		{CURLOPT_CUSTOMREQUEST, request->method},
		{CURLOPT_USERAGENT, AGENT},
		{CURLOPT_PROTOCOLS_STR, "http,https"},
		{CURLOPT_PROXY, http->proxy != NULL ? http->proxy : ""},
		{CURLOPT_NOPROXY, ""},
		{CURLOPT_PROXYUSERNAME, http->proxy_user},
		{CURLOPT_PROXYPASSWORD, http->proxy_password},
		{CURLOPT_CAINFO, http->ca_file},
		{CURLOPT_PROXY_CAINFO, http->proxy != NULL ? system_ca_file() : NULL},
	};
	CURLcode code = CURLE_OK;
	for (size_t i = 0; code == CURLE_OK && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].value != NULL)
			code = curl_easy_setopt(call->easy, texts[i].option, texts[i].value);
	return code;
}

static CURLcode set_numbers(struct kon_http_call *call, const struct kon_http_request *request)
{
	struct kon_http *http = call->http;
	bool may_share = !http->http1_only && strncasecmp(request->url, "https:", 6) == 0;
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{CURLOPT_HTTP_VERSION, may_share ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1},
		{CURLOPT_PIPEWAIT, may_share}, /* the first burst waits for one connection instead of making many */
		{CURLOPT_NOSIGNAL, 1},
		{CURLOPT_QUICK_EXIT, 1}, /* to cancel does not wait for a name that is being resolved */
		{CURLOPT_FOLLOWLOCATION, 0},
		{CURLOPT_DISALLOW_USERNAME_IN_URL, 1},
		{CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
		{CURLOPT_BUFFERSIZE, BUFFER_BYTES},
		{CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES},
		{CURLOPT_SSL_VERIFYPEER, !http->insecure},
		{CURLOPT_SSL_VERIFYHOST, http->insecure ? 0 : 2},
	};
	CURLcode code = CURLE_OK;
	for (size_t i = 0; code == CURLE_OK && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		code = curl_easy_setopt(call->easy, numbers[i].option, numbers[i].value);
	return code;
}

static CURLcode set_pointers(struct kon_http_call *call)
{
	CURL *easy = call->easy;
	CURLcode code = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->why);
	if (code == CURLE_OK) /* the directory that some builds of libcurl know besides */
		code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SHARE, call->http->share);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	return code;
}

int kon_http_setup_call(struct kon_http_call *call, const struct kon_http_request *request, struct kon_err *err)
{
	call->easy = curl_easy_init();
	call->place = place_of(request);
	if (call->easy == NULL || call->place == NULL || !set_headers(call, request))
		return kon_err_set(err, KON_STORE, "out of memory");
	CURLcode code = set_texts(call, request);
	if (code == CURLE_OK)
		code = set_numbers(call, request);
	if (code == CURLE_OK)
		code = set_body(call->easy, request);
	if (code == CURLE_OK)
		code = set_identity(call->http, call->easy);
	if (code == CURLE_OK)
		code = set_url(call, request);
	if (code == CURLE_OK)
		code = set_pointers(call);
	if (code == CURLE_OUT_OF_MEMORY)
		return kon_err_set(err, KON_STORE, "%s: out of memory", call->place);
	if (code != CURLE_OK)
		return kon_err_set(err, KON_CONFIG, "%s: %s", call->place, curl_easy_strerror(code));
	return 0;
}
