"""Faults of links and requests, for chaos.py: each replica's own proxy does them, for a while."""

from kube.http_proxy import HttpProxy, answer, drop_answer, forward_then, late, refuse, truncate, twice
from lib import boot_ms

TIMES_MS = (200, 800, 2000, 5000)


class Links:
    """Part of KubeChaos."""

    def link(self, kind):
        """A proxy of that kind whose link is well, and how long it shall not be; None when there is none."""
        free = [r for r in self.live if isinstance(self.proxies[r], HttpProxy) == (kind is HttpProxy)
                and r not in self.heal_at and r.running]
        if not free:
            return None
        replica = self.random.choice(free)
        self.heal_at[replica] = boot_ms() + self.random.choice(TIMES_MS)
        return self.proxies[replica]

    def heal_links(self, everybody):
        for replica, until in list(self.heal_at.items()):
            if everybody or boot_ms() >= until:
                del self.heal_at[replica]
                self.proxies[replica].heal()

    def on_tcp(self, strike):
        proxy = self.link(None)
        if proxy:
            strike(proxy)
        return bool(proxy)

    def on_http(self, action, times, method="PUT"):
        proxy = self.link(HttpProxy)
        if proxy:
            proxy.once(action, method, times=times)
        return bool(proxy)

    # Bytes.

    def link_delay(self):
        seconds = [self.random.choice((0.0, 0.05, 0.3, 0.7)) for _ in range(2)]
        return self.on_tcp(lambda p: p.delay(*seconds))

    def link_hold(self):
        direction = self.random.choice(("up", "down"))
        return self.on_tcp(lambda p: p.hold(direction))

    def link_drop_one_way(self):
        direction = self.random.choice(("up", "down"))
        return self.on_tcp(lambda p: p.drop(direction))

    def link_half_open(self):
        return self.on_tcp(lambda p: p.freeze())

    def link_stranded(self):
        return self.on_tcp(lambda p: p.strand())

    def link_reset(self):
        return self.on_tcp(lambda p: p.reset())

    def link_reset_mid_body(self):
        count = self.random.randrange(3000)
        return self.on_tcp(lambda p: p.reset_after(count, times=3))

    def link_cut_chunk(self):
        count = self.random.randrange(3000)
        return self.on_tcp(lambda p: p.truncate_after(count, times=3))

    def link_gone(self):
        return self.on_tcp(lambda p: p.cut_all())

    # Requests.

    def http_answer_lost(self):
        return self.on_http(drop_answer(), 2)

    def http_refused(self):
        return self.on_http(refuse(), 2, None)

    def http_replayed(self):
        return self.on_http(twice(self.random.randrange(2)), 4)

    def http_error_before(self):
        return self.on_http(answer(self.random.choice((500, 502, 503, 504))), 2, None)

    def http_error_after(self):
        return self.on_http(forward_then(self.random.choice((500, 502, 504))), 2)

    def http_late(self):
        return self.on_http(late(self.random.choice((0.1, 1, 4, 8)), 504), 1)

    def http_too_many(self):
        return self.on_http(answer(429, {"Retry-After": "1"}), 5, None)

    def http_truncated(self):
        return self.on_http(truncate(self.random.randrange(600)), 3, None)

    def http_page(self):
        page = answer(200, {"Content-Type": "text/html"}, "<html>Please log in</html>")
        return self.on_http(page, 2, "GET")

    FAULTS = [(fault, 1) for fault in (
        link_delay, link_hold, link_drop_one_way, link_half_open, link_stranded, link_reset, link_reset_mid_body,
        link_cut_chunk, link_gone, http_answer_lost, http_refused, http_replayed, http_error_before, http_error_after,
        http_late, http_too_many, http_truncated, http_page)]
