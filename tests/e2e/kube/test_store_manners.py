"""How the Kubernetes stores behave towards a server that is slow, full, confused, or no API server at all: a scripted
one, because a real one does not do these things when asked."""

import json
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kube.lua import run_lua

PRELUDE = 'package.path = "tests/e2e/kube/?.lua;" .. package.path\n' \
          'local t = require "store"; local core, show = t.core, t.show\n'


def once(name, rev, **status):
    return {"apiVersion": "konductor.io/v1", "kind": "Once", "spec": {"ttl": "1h"}, "status": status,
            "metadata": {"name": name, "namespace": "ns", "uid": "u-" + name, "resourceVersion": str(rev)}}


def listed(rev, *items):
    return 200, {"kind": "OnceList", "metadata": {"resourceVersion": str(rev)}, "items": list(items)}


def event(kind, item):
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


class Script:
    """A server whose answers are taken from a list, in order; the last one stays. Each is (status, body[, headers]), a
    list of byte pieces (a watch, ended after them), None (a watch that stays silent), or a function of the request."""

    def __init__(self, *answers):
        script = self
        self.answers = list(answers)
        self.asked = []
        self.over = threading.Event()
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                with script.lock:
                    script.asked.append((time.monotonic(), self.command, self.path, body))
                    answer = script.answers[0] if len(script.answers) == 1 else script.answers.pop(0)
                self.give(answer(self.path) if callable(answer) else answer)

            def give(self, answer):
                if answer is None or isinstance(answer, list):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Connection", "close")
                    self.end_headers()
                    for piece in answer or []:
                        self.wfile.write(piece)
                        self.wfile.flush()
                    if answer is None:
                        script.over.wait(60)
                    self.close_connection = True
                    return
                status, body, *headers = answer
                if status == 0: # never answers
                    script.over.wait(60)
                    self.close_connection = True
                    return
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in (headers[0] if headers else {"Content-Type": "application/json"}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = serve

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except ConnectionError:
                    pass # it went away, as it may

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def lua(self, text, **env):
        done = run_lua(PRELUDE + text, {"KUBE_SERVER": self.url, "KUBE_CA": "", "KUBE_TOKEN": "secret",
                                        "KUBE_NAMESPACE": "ns", **env})
        if done.stderr or done.returncode:
            raise AssertionError(done.stderr + done.stdout)
        return [json.loads(line) for line in done.stdout.splitlines()]


class Requests(unittest.TestCase):
    def test_an_html_page_is_told_from_an_api_server(self):
        page = (200, "<html>Please log in</html>", {"Content-Type": "text/html"})
        with Script(page) as s:
            shown = s.lua('local w = t.world()\nshow(w.get("Once", "a"))\nshow(w.create("Once", "a", {}))')
        for line in shown:
            self.assertEqual("store", line[1])
            self.assertIn("an HTML page came back", line[2])

    def test_a_server_that_asks_for_patience_gets_it(self):
        busy = (429, "Too many requests", {"Retry-After": "1", "Content-Type": "text/plain"})
        with Script(busy, (200, once("a", 5))) as s:
            (shown,) = s.lua('local w = t.world()\nlocal began = core.now()\nshow(assert(w.get("Once", "a")).rev, core.now() - began)')
        self.assertEqual(5, shown[0])
        self.assertGreaterEqual(shown[1], 1000)

    def test_patience_ends_with_the_limit_and_nothing_was_applied(self):
        busy = (429, "Too many requests", {"Retry-After": "30", "Content-Type": "text/plain"})
        with Script((200, once("a", 5)), busy) as s:
            (shown,) = s.lua('''
                local w = t.world()
                local record = assert(w.get("Once", "a"))
                local began = core.now()
                local _, code, detail = w.replace(record, { op = "x" }, { limit_ms = 400 })
                show(code, detail, core.now() - began)
                ''')
            self.assertEqual(2, len(s.asked))
        self.assertEqual("busy", shown[0])
        self.assertIn("come back later", shown[1])
        self.assertTrue(400 <= shown[2] < 3000, shown)

    def test_what_holds_a_lease_goes_before_what_waits_for_it(self):
        busy = (429, "", {"Retry-After": "1"})
        with Script((200, once("a", 5)), busy, (200, once("a", 6, op="x"))) as s:
            s.lua('''
                local w = t.world()
                local record, done = assert(w.get("Once", "a")), core.inbox()
                w.task(done, w.create, "Once", "first", {})
                assert(core.inbox():wait(core.now() + 500) == nil)
                w.task(done, w.create, "Once", "second", {})
                w.task(done, w.get, "Once", "third")
                w.task(done, w.replace, record, { op = "x" }, { by = "queue" })
                w.task(done, w.replace, record, { op = "x" })
                for _ = 1, 5 do t.await(done, "done") end''')
            asked = [(method, path) for _, method, path, _ in s.asked[2:]]
        self.assertIn("konductor-holder", asked[0][1])
        self.assertEqual("GET", asked[1][0])
        self.assertEqual({"POST", "PUT"}, {method for method, _ in asked[2:]})

    def test_a_wait_ends_at_its_limit_and_a_write_is_in_doubt(self):
        with Script((200, once("a", 5)), (0, "")) as s:
            shown = s.lua('''
                local w = t.world()
                local record = assert(w.get("Once", "a"))
                local began = core.now()
                show(select(2, w.get("Once", "a", { limit_ms = 200 })))
                show(select(2, w.replace(record, { op = "x" }, { limit_ms = 200 })))
                show(core.now() - began)''')
        self.assertEqual(["store", "unknown"], [shown[0][0], shown[1][0]])
        self.assertTrue(400 <= shown[2][0] < 3000, shown)

    def test_a_cancelled_wait_ends_at_once_and_says_what_is_known(self):
        with Script((200, once("a", 5)), (0, "")) as s:
            shown = s.lua('''
                local w = t.world()
                local record, done = assert(w.get("Once", "a")), core.inbox()
                local began = core.now()
                local read = w.task(done, function() return { w.get("Once", "a") } end)
                local write = w.task(done, function() return { w.replace(record, { op = "x" }) } end)
                w.sleep(100)
                read:cancel()
                local value = t.await(done, "done").value
                show(value[1], value[2], value[3])
                write:cancel()
                value = t.await(done, "done").value
                show(value[1], value[2], value[3])
                show(core.now() - began)''')
        self.assertEqual([["nil", "cancelled", "nil"], ["nil", "unknown", "cancelled"]], shown[:2])
        self.assertLess(shown[2][0], 2000)

    def test_a_list_comes_in_pages_and_anew_when_its_version_is_gone(self):
        def page(path):
            if "continue" in path:
                return 410, {"kind": "Status", "reason": "Expired", "code": 410, "message": "too old"}
            if "limit" in path:
                code, body = listed(9, once("b", 2))
                body["metadata"]["continue"] = "tok/=="
                return code, body
            return listed(10, once("c", 3), once("a", 2), once("b", 2))
        with Script(page) as s:
            (shown,) = s.lua('local w = t.world()\nlocal names = {}\n'
                             'for i, r in ipairs(assert(w.list("Once"))) do names[i] = r.name end\nshow(names)')
            paths = [path for _, _, path, _ in s.asked]
        self.assertEqual([["a", "b", "c"]], shown)
        self.assertIn("limit=500", paths[0])
        self.assertIn("continue=tok%2F%3D%3D", paths[1])
        self.assertNotIn("limit", paths[2])

    def test_a_list_without_end_is_given_up(self):
        code, body = listed(9, once("b", 2))
        body["metadata"]["continue"] = "more"
        with Script((code, body)) as s:
            (shown,) = s.lua('local w = t.world()\nlocal _, code, detail = w.list("Once")\nshow(code, detail)')
        self.assertEqual("corrupt", shown[0])
        self.assertIn("has no end", shown[1])

    def test_a_patience_that_nobody_can_mean_is_cut(self):
        for words in ("2147483647", "99999999999999999999", "-5", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"):
            busy = (429, "", {"Retry-After": words})
            with self.subTest(words), Script(busy, (200, once("a", 5))) as s:
                (shown,) = s.lua('''
                    local w = t.world()
                    local record, code = w.get("Once", "a", { limit_ms = 100 })
                    show(record, code, (w.get("Once", "a", { limit_ms = 20000 }) or {}).rev)''')
                self.assertEqual(["nil", "busy", 5], shown)

    def test_an_answer_that_is_no_object_leaves_a_write_in_doubt(self):
        with Script((200, once("a", 5)), (200, {"status": "ok"})) as s:
            (shown,) = s.lua('''
                local w = t.world()
                local record = assert(w.get("Once", "a"))
                show(select(2, w.replace(record, { op = "x" })))''')
        self.assertEqual("unknown", shown[0])

    def test_a_closed_store_answers_what_is_under_way(self):
        with Script((0, "")) as s:
            (shown,) = s.lua('''
                local w, store = t.world()
                local done = core.inbox()
                w.task(done, function() return { w.get("Once", "a") } end)
                w.sleep(50)
                store:close()
                local value = t.await(done, "done").value
                show(value[2], value[3])''')
        self.assertEqual("cancelled", shown[0])
        self.assertIn("closed", shown[1])


class Watches(unittest.TestCase):
    FOLLOW = '''
        local w, store = t.world()
        local inbox = core.inbox()
        assert(w.watch(inbox, "Once", "a"))
        local function revs(count)
          local seen = {}
          for i = 1, count do
            local event = t.await(inbox, "changed")
            seen[i] = event.record and event.record.rev or 0
          end
          return seen
        end
        '''

    def test_it_begins_at_the_version_of_the_list_and_drops_what_is_older(self):
        stream = [event("ADDED", once("a", 4)), event("MODIFIED", once("a", 7)), event("DELETED", once("a", 6)),
                  event("NEW", {}), b"nonsense\n", event("BOOKMARK", once("a", 8)), event("DELETED", once("a", 9))]
        joined = b"".join(stream)
        pieces = [joined[i:i + 7] for i in range(0, len(joined), 7)]
        with Script(listed(5, once("a", 5)), pieces, None) as s:
            shown = s.lua(self.FOLLOW + '''
                local seen = {}
                repeat
                  local event = t.await(inbox, "changed")
                  seen[#seen + 1] = event.record and event.record.rev or 0
                until seen[#seen] == 0
                show(seen[1], store:counts())''')
            for _ in range(500):
                if len(s.asked) > 2:
                    break
                time.sleep(0.01)
            paths = [path for _, _, path, _ in s.asked]
        self.assertEqual(2, shown[0][1]["unknown_events"])
        self.assertIn(shown[0][0], (5, 7)) # the newest may stand for both
        self.assertIn("fieldSelector=metadata.name%3Da", paths[0])
        self.assertIn("resourceVersion=5&", paths[1])
        self.assertIn("allowWatchBookmarks=true", paths[1])
        self.assertTrue(270 <= int(paths[1].split("timeoutSeconds=")[1]) <= 300)

    def test_it_goes_on_from_the_last_version_after_a_break(self):
        with Script(listed(5), [event("ADDED", once("a", 7)), event("BOOKMARK", once("a", 12))],
                    [event("MODIFIED", once("a", 13))], None) as s:
            shown = s.lua(self.FOLLOW + '''
                local last
                repeat
                  last = revs(1)[1]
                until last == 13
                show(last)''')
            paths = [path for _, _, path, _ in s.asked]
        self.assertEqual([[13]], shown)
        self.assertIn("resourceVersion=12&", paths[2])

    def test_versions_that_are_no_numbers_become_part_of_no_address(self):
        odd = [event("BOOKMARK", once("a", version)) for version in ("", "0&watch=0", "-1", "9" * 200, "7 HTTP/1.1")]
        with Script(listed(5, once("a", 5)), odd, [event("MODIFIED", once("a", 13))], None) as s:
            self.assertEqual([[13]], s.lua(self.FOLLOW + '''
                local last
                repeat
                  last = revs(1)[1]
                until last == 13
                show(last)'''))
            paths = [path for _, _, path, _ in s.asked]
        self.assertIn("resourceVersion=5&", paths[2])

    def test_a_server_that_went_back_in_time_is_told_of(self):
        watch = {"count": 0}

        def answer(path):
            if "watch=1" in path:
                watch["count"] += 1
                return [event("ERROR", {"kind": "Status", "code": 410})]
            return listed(50, once("a", 45)) if watch["count"] == 0 else listed(9, once("a", 4))
        with Script(answer) as s:
            shown = s.lua(self.FOLLOW + 'show(revs(1))\nshow(revs(1))')
        self.assertEqual([[[45]], [[4]]], shown)

    def test_a_version_that_is_gone_leads_to_a_list_at_most_once_a_second(self):
        gone = [event("ERROR", {"kind": "Status", "code": 410})]
        with Script(lambda path: gone if "watch=1" in path else listed(5, once("a", 5))) as s:
            s.lua(self.FOLLOW + 'revs(1)\nw.sleep(2600)')
            lists = [at for at, _, path, _ in s.asked if "watch=1" not in path]
        self.assertTrue(2 <= len(lists) <= 4, lists)
        self.assertTrue(all(later - earlier > 0.9 for earlier, later in zip(lists, lists[1:])), lists)

    def test_three_failures_in_a_row_lead_to_a_list_that_tells_what_was_missed(self):
        answers = {"lists": 0}

        def answer(path):
            if "watch=1" in path:
                return 500, {"kind": "Status", "code": 500, "message": "no"}
            answers["lists"] += 1
            return listed(5, once("a", 5)) if answers["lists"] == 1 else listed(20)
        with Script(answer) as s:
            shown = s.lua(self.FOLLOW + 'show(revs(1))\nshow(revs(1))')
            watches = [path for _, _, path, _ in s.asked if "watch=1" in path]
        self.assertEqual([[[5]], [[0]]], shown)
        self.assertGreaterEqual(len(watches), 3)

    def test_an_event_of_three_mebibytes_is_taken_and_one_of_five_leads_to_a_list(self):
        big = once("a", 7)
        big["metadata"]["annotations"] = {"note": "x" * (3 << 20)}
        bigger = once("a", 8)
        bigger["metadata"]["annotations"] = {"note": "x" * (5 << 20)}
        with Script(listed(5), [event("MODIFIED", big)], [event("MODIFIED", bigger)], listed(9, once("a", 9)), None) as s:
            shown = s.lua(self.FOLLOW + '''
                local last
                repeat
                  last = revs(1)[1]
                until last == 7
                repeat
                  last = revs(1)[1]
                until last == 9
                show(last, store:counts().too_big)''')
        self.assertEqual([[9, 1]], shown)

    def test_a_subscription_that_is_closed_at_once_asks_for_nothing(self):
        with Script(listed(5)) as s:
            s.lua(self.FOLLOW + 'inbox:close()\nw.sleep(200)')
            self.assertEqual([], s.asked)

    def test_all_who_follow_one_object_share_one_watch(self):
        with Script(listed(5, once("a", 5)), None) as s:
            s.lua(self.FOLLOW + '''
                local others = {}
                for i = 1, 5 do
                  others[i] = core.inbox()
                  assert(w.watch(others[i], "Once", "a"))
                end
                for i = 1, 5 do
                  assert(t.await(others[i], "changed").record.rev == 5)
                end
                others[1]:close()
                inbox:close()
                w.sleep(300)''')
            self.assertEqual(2, len(s.asked), s.asked)


if __name__ == "__main__":
    unittest.main()
