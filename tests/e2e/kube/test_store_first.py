"""What a watch tells at once and what it puts off, on a real API server. Nothing here depends on a time: what is put off
is put off for an hour, and what is told before it is told first."""

import unittest

from kube.test_store import OnServer

# w writes; watched follows, for its own session, and puts off for an hour what can wait.
STAGE = '''
local OURS, THEIRS, OTHERS = ("a"):rep(32), ("b"):rep(32), ("c"):rep(32)
local w = t.world { dialect = t.env.DIALECT }
local watched, store = t.world { dialect = t.env.DIALECT, later_ms = 3600000 }
local rec = assert(w.create(t.env.KIND, "x", { ttl = "15s" }))
local LEASE = t.env.KIND == "Lease"
local serial, WHO = 0, LEASE and "holder" or "executor"
local function put(status)
  local new, code, detail = w.replace(rec, status)
  rec = new or error(code .. ": " .. tostring(detail))
end
local function hold(session)
  serial = serial + 1
  put { [WHO] = "h", session = session, op = "op:" .. serial, fence = 6 + serial, ttlMs = 15000, bound = "process",
    phase = LEASE and "Held" or "Pending" }
end
local function free()
  put { [WHO] = "", session = "", op = "op:free", fence = 6 + serial, phase = LEASE and "Available" or "Pending" }
end
local inbox = core.inbox()
local sub = assert(watched.watch(inbox, t.env.KIND, "x", { first = OURS }))
-- What is told next: the session, or "gone".
local function told()
  local event = t.await(inbox, "changed")
  return event.record and (event.record.status.session or "none") or "gone"
end
local function until_put_off(n)
  local limit = core.now() + t.LIMIT_MS
  while store:counts().put_off < n do
    assert(core.now() < limit, "nothing was put off")
    core.inbox():wait(core.now() + 5)
  end
end
'''
OURS, THEIRS, OTHERS = "a" * 32, "b" * 32, "c" * 32


class First(OnServer):
    def each(self, chunk):
        """The lines that a chunk shows, for each dialect and kind: they must be alike."""
        found = {}
        for dialect in ("kube", "kube-lease"):
            for kind in ("Lease", "Once"):
                with self.subTest(dialect=dialect, kind=kind):
                    self.ns = self.c.namespace()
                    found[dialect, kind] = self.lua(STAGE + chunk, DIALECT=dialect, KIND=kind)
        return found

    def alike(self, want, chunk):
        for case, shown in self.each(chunk).items():
            self.assertEqual(want, shown, case)

    def test_holds_of_others_are_put_off_and_what_is_free_is_told_at_once(self):
        self.alike([["none"], [THEIRS], [""], [""]], '''
            show(told())
            hold(THEIRS)
            show(told()) -- the first after a list cannot wait: it may have ended a hold of ours
            hold(THEIRS)
            until_put_off(1)
            free()
            show(told())
            hold(OTHERS)
            hold(THEIRS)
            until_put_off(3)
            free()
            show(told())''')

    def test_a_grant_to_us_and_its_end_are_told_at_once(self):
        self.alike([[THEIRS], [OURS], [OURS], [OTHERS], [OURS]], '''
            told()
            hold(THEIRS)
            show(told())
            hold(OTHERS)
            until_put_off(1)
            hold(OURS)
            show(told())
            hold(OURS)
            show(told())
            hold(OTHERS)
            show(told())
            hold(THEIRS)
            until_put_off(2)
            hold(OURS)
            show(told())''')

    def test_a_deletion_is_told_at_once_and_what_was_put_off_never_after_it(self):
        self.alike([["gone"], [False], ["none"]], '''
            told()
            hold(THEIRS)
            told()
            hold(THEIRS)
            until_put_off(1)
            assert(w.delete(rec))
            show(told())
            show(sub:catch_up())
            assert(w.create(t.env.KIND, "x", { ttl = "15s" }))
            show(told())''')

    def test_who_asks_is_told_now_the_newest_alone_and_when_it_came(self):
        self.alike([[False], [True], ["op:3", True], [False], [OTHERS]], '''
            told()
            hold(THEIRS)
            told()
            local before = core.now()
            show(sub:catch_up())
            hold(THEIRS)
            hold(OTHERS)
            until_put_off(2)
            local after = core.now()
            show(sub:catch_up())
            local record = t.await(inbox, "changed").record
            show(record.status.op, record.came_at >= math.floor(before) and record.came_at <= after)
            show(sub:catch_up())
            show(record.status.session)''')

    def test_what_is_put_off_is_told_by_itself_and_each_at_once_to_who_follows_all(self):
        self.alike([[OTHERS], [0], [OTHERS, THEIRS]], '''
            local soon, its_store = t.world { dialect = t.env.DIALECT, later_ms = 200 }
            local soon_inbox, all_inbox = core.inbox(), core.inbox()
            assert(soon.watch(soon_inbox, t.env.KIND, "x", { first = OURS }))
            assert(watched.watch(all_inbox, t.env.KIND, "x"))
            local function session(box)
              return t.await(box, "changed").record.status.session or "none"
            end
            session(soon_inbox)
            told()
            session(all_inbox)
            hold(THEIRS)
            session(soon_inbox)
            told()
            session(all_inbox)
            hold(OTHERS)
            show(session(soon_inbox))
            show(store:counts().put_off)
            local first = session(all_inbox)
            hold(THEIRS)
            show(first, session(all_inbox))''')


if __name__ == "__main__":
    unittest.main()
