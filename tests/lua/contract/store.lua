--- The store contract: what every store must keep, whatever is behind it. Each entry is a
--- claim and a function that proves it with two worlds of two sessions on one empty store,
--- inside a task. A store runs the whole list unchanged.
---
---   h.fresh_name()   a name that no claim has used
---   h.grain_ms       how coarse the store's own clock is; default 0
---   h.kill()         ends the second session, as a crash of its process does; only claims
---                    with needs = "kill" call it, and only stores that know of dead
---                    sessions run those

local M = {}

local LIMIT_MS = 10000

--- A kind of a user's own: what it keeps in its status is nobody's business but its own. What a
--- Once and a Lease may contain, stores may know.
local KIND = "Mark"

local function claim(name, run, needs)
  M[#M + 1] = { name = name, run = run, needs = needs }
end

local function equal(want, got, what)
  if want ~= got then
    error(("%s: want %s, got %s"):format(what, tostring(want), tostring(got)), 2)
  end
end

local function same(want, got, where)
  equal(type(want), type(got), where .. " type")
  if type(want) ~= "table" then
    return equal(want, got, where)
  end
  for k, v in pairs(want) do
    same(v, got[k], where .. "." .. tostring(k))
  end
  for k in pairs(got) do
    if want[k] == nil then
      error(where .. "." .. tostring(k) .. ": was not stored", 2)
    end
  end
end

local function refused(want, value, code, _)
  equal(nil, value, "value beside " .. want)
  equal(want, code, "code")
end

local function made(w, name, status)
  local record = assert(w.create(KIND, name, { ttl = "1h" }))
  if status then
    record = assert(w.replace(record, status))
  end
  return record
end

--- Waits for an event of that type, within the limit; ignores others.
local function await(w, inbox, want)
  local limit = w.now() + LIMIT_MS
  while true do
    local event, code = inbox:wait(limit)
    if not event then
      error("no " .. want .. " event: " .. tostring(code), 2)
    elseif event.type == want then
      return event
    end
  end
end

claim("create makes an unheld record", function(w, _, h)
  local name = h.fresh_name()
  local record = assert(w.create(KIND, name, { ttl = "1h", version = "v1" }))
  equal(KIND, record.kind, "kind")
  equal(name, record.name, "name")
  equal(nil, next(record.status), "status")
  same({ ttl = "1h", version = "v1" }, record.spec, "spec")
  equal("string", type(record.uid), "uid type")
  equal(true, #record.uid > 0, "uid is not empty")
  equal("number", type(record.rev), "rev type")
  equal(true, record.created:match("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d") ~= nil, "created is RFC 3339")
end)

claim("a second create of the same name is refused with exists, by any session", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a" })
  refused("exists", w.create(KIND, name, {}))
  refused("exists", other.create(KIND, name, {}))
  local now = assert(other.get(KIND, name))
  equal(record.rev, now.rev, "rev after a refused create")
  same({ op = "a" }, now.status, "status")
end)

claim("the same name of another kind is another record", function(w, other, h)
  local name = h.fresh_name()
  made(w, name, { op = "once" })
  refused("absent", other.get("Gate", name))
  refused("absent", other.get("Lease", name))
  local gate = assert(other.create("Gate", name, {}))
  equal(nil, next(gate.status), "status of the other kind")
  local lease = assert(other.create("Lease", name, { ttl = "15s" }))
  equal(nil, next(lease.status), "status of the lease")
end)

claim("get of a name that was never made says absent", function(w, _, h)
  refused("absent", w.get(KIND, h.fresh_name()))
end)

claim("what one session wrote the other reads at once", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a", n = 1 })
  local seen = assert(other.get(KIND, name))
  equal(record.rev, seen.rev, "rev")
  equal(record.uid, seen.uid, "uid")
  equal(record.created, seen.created, "created")
  same({ op = "a", n = 1 }, seen.status, "status")
end)

claim("replace gives a higher rev and keeps uid and spec", function(w, _, h)
  local record = made(w, h.fresh_name())
  local new = assert(w.replace(record, { op = "a" }))
  equal(true, new.rev > record.rev, "rev grows")
  equal(record.uid, new.uid, "uid")
  same({ ttl = "1h" }, new.spec, "spec")
  same({ op = "a" }, new.status, "status")
  local newer = assert(w.replace(new, { op = "b" }))
  equal(true, newer.rev > new.rev, "rev grows again")
end)

claim("replace takes the whole status: fields left out are gone", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a", holder = "x", deep = { k = 1 } })
  assert(w.replace(record, { op = "b" }))
  same({ op = "b" }, assert(other.get(KIND, name)).status, "status")
end)

claim("replace with an equal status succeeds, and the rev does not go back", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a" })
  local new = assert(w.replace(record, { op = "a" }))
  equal(true, new.rev >= record.rev, "rev")
  equal(new.rev, assert(other.get(KIND, name)).rev, "stored rev")
end)

claim("replace by a stale rev says conflict and changes nothing", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name)
  local new = assert(other.replace(record, { op = "theirs" }))
  refused("conflict", w.replace(record, { op = "mine" }))
  local now = assert(w.get(KIND, name))
  equal(new.rev, now.rev, "rev")
  same({ op = "theirs" }, now.status, "status")
end)

claim("of two replaces of one rev exactly one succeeds", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name)
  local inbox = w.inbox()
  w.task(inbox, function() return (w.replace(record, { op = "a" })) end)
  w.task(inbox, function() return (other.replace(record, { op = "b" })) end)
  local wins = 0
  for _ = 1, 2 do
    local event = await(w, inbox, "done")
    equal(true, event.ok, "task ok")
    wins = wins + (event.value and 1 or 0)
  end
  equal(1, wins, "winners")
end)

claim("replace of a deleted record says absent and does not make it again", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a" })
  assert(other.delete(record))
  refused("absent", w.replace(record, { op = "b" }))
  refused("absent", other.get(KIND, name))
end)

claim("replace of a record that was deleted and made again is refused", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a" })
  assert(other.delete(record))
  local again = assert(other.create(KIND, name, {}))
  local value, code = w.replace(record, { op = "b" })
  equal(nil, value, "value")
  equal(true, code == "conflict" or code == "absent", "conflict or absent, not " .. tostring(code))
  local now = assert(w.get(KIND, name))
  equal(again.rev, now.rev, "rev")
  equal(nil, next(now.status), "status")
end)

claim("replace and delete are refused for another uid, though the rev is right", function(w, _, h)
  local record = made(w, h.fresh_name(), { op = "a" })
  local forged = { kind = record.kind, name = record.name, uid = record.uid:reverse() .. "x", rev = record.rev }
  local _, of_replace = w.replace(forged, { op = "b" })
  equal(true, of_replace == "conflict" or of_replace == "absent", "replace, not " .. tostring(of_replace))
  local _, of_delete = w.delete(forged)
  equal(true, of_delete == "conflict" or of_delete == "absent", "delete, not " .. tostring(of_delete))
  same({ op = "a" }, assert(w.get(KIND, record.name)).status, "status")
end)

claim("delete and create give another uid and a rev above all before", function(w, _, h)
  local name = h.fresh_name()
  local record = made(w, name, { op = "a" })
  assert(w.delete(record))
  local again = assert(w.create(KIND, name, {}))
  equal(false, again.uid == record.uid, "same uid")
  equal(true, again.rev > record.rev, "rev grows across deletion")
end)

claim("delete by a stale rev says conflict and deletes nothing", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name)
  local new = assert(other.replace(record, { op = "a" }))
  refused("conflict", w.delete(record))
  equal(new.rev, assert(w.get(KIND, name)).rev, "rev")
end)

claim("delete of what is gone says absent", function(w, other, h)
  local record = made(w, h.fresh_name())
  assert(w.delete(record))
  refused("absent", w.delete(record))
  refused("absent", other.delete(record))
end)

claim("list gives all of a kind sorted by name, and no other kind", function(w, other, h)
  local prefix = h.fresh_name()
  for _, suffix in ipairs { "b", "a.b", "a", "c-1" } do
    assert(w.create("Gate", prefix .. "." .. suffix, {}))
  end
  assert(w.create(KIND, prefix .. ".d", {}))
  local names = {}
  local last = ""
  for _, record in ipairs(assert(other.list("Gate"))) do
    equal("Gate", record.kind, "kind")
    equal(true, last < record.name, "sorted by bytes")
    last = record.name
    if record.name:sub(1, #prefix) == prefix then
      names[#names + 1] = record.name:sub(#prefix + 2)
    end
  end
  equal("a a.b b c-1", table.concat(names, " "), "names")
end)

claim("list of a kind without records is empty", function(w)
  equal(0, #assert(w.list("Nothing")), "records")
end)

claim("a thousand records are listed and read back", function(w, other, h)
  local prefix = h.fresh_name()
  for i = 1, 1000 do
    assert(w.create("Many", ("%s.n%04d"):format(prefix, i), { n = i }))
  end
  local records = assert(other.list("Many"))
  equal(1000, #records, "records")
  for i = 1, 1000 do
    equal(i, records[i].spec.n, "spec of record " .. i)
  end
end)

claim("names with dots and of 253 bytes are kept", function(w, other, h)
  local label = ("a"):rep(60)
  local name = (h.fresh_name() .. "." .. table.concat({ label, label, label, label }, ".")):sub(1, 253)
  made(w, name, { op = "a" })
  equal(name, assert(other.get(KIND, name)).name, "name")
end)

claim("content comes back as it was written", function(w, other, h)
  local name = h.fresh_name()
  local status = {
    text = "grüße, 世界 \"quoted\" \\ / \t\n\1 \127", empty = "", no = false, yes = true,
    zero = 0, negative = -1, largest = 9007199254740991, smallest = -9007199254740991, half = 0.5,
    list = { "a", "b", { c = { "d" } } }, nested = { a = { b = { c = { d = { e = 1 } } } } },
    ["key with spaces . and / dots"] = 1, ["123"] = "digits as a key",
  }
  made(w, name, status)
  same(status, assert(other.get(KIND, name)).status, "status")
end)

local BY_POLICIES = {
  Lease = {
    spec = { ttl = "15s", priority = 3, renewable = true, preempt = true, queueMax = 8 },
    held = {
      holder = "pod-a", session = ("a"):rep(32), bound = "process", fence = 4503599627370497, ttlMs = 15000,
      op = ("a"):rep(32) .. ":1", renewals = 0, accepted = true, prio = 3, phase = "Held",
      acquired = "2026-01-02T03:04:05.678901Z", expires = "2026-01-02T03:04:20.678901Z",
      waiters = { { id = "pod-b", session = ("b"):rep(32), prio = 0 } },
      preempt = { session = ("b"):rep(32), prio = 4 },
      conditions = {
        { type = "Ready", status = "True", reason = "LeaseReady", lastTransitionTime = "2026-01-02T03:04:05.678901Z" },
      },
    },
    free = { holder = "", session = "", fence = 4503599627370497, op = ("a"):rep(32) .. ":2", renewals = 1,
      phase = "Available" },
  },
  Once = {
    spec = { ttl = "1h", version = "v2", mode = "AtLeastOnce", maxAttempts = 3, backoff = "10s" },
    held = {
      executor = "pod-a", session = ("a"):rep(32), bound = "process", fence = 7, ttlMs = 15000, version = "v2",
      op = ("a"):rep(32) .. ":1", renewals = 2, attempts = 1, phase = "Pending", executed = false,
      history = { { version = "v1", executor = "pod-z", executedAt = "2026-01-02T03:04:05.678901Z" } },
    },
    free = {
      executor = "pod-a", session = "", fence = 7, version = "v2", op = ("a"):rep(32) .. ":3", renewals = 2,
      attempts = 1, phase = "Executed", executed = true, executedAt = "2026-01-02T03:04:05.678901Z", exitCode = 0,
      history = { { version = "v1", executor = "pod-z", executedAt = "2026-01-02T03:04:05.678901Z" } },
    },
  },
}

for kind, of in pairs(BY_POLICIES) do
  claim("what policies write into a " .. kind .. " comes back as it was written", function(w, other, h)
    local name = h.fresh_name()
    local record = assert(w.create(kind, name, of.spec))
    same(of.spec, record.spec, "spec")
    equal(nil, next(record.status), "status")
    record = assert(w.replace(record, of.held))
    same(of.held, assert(other.get(kind, name)).status, "status while held")
    same(of.spec, record.spec, "spec after a write")
    record = assert(other.replace(record, of.free))
    same(of.free, assert(w.get(kind, name)).status, "status after it")
    local found
    for _, listed in ipairs(assert(w.list(kind))) do
      found = listed.name == name and listed or found
    end
    equal(record.rev, found.rev, "rev in the list")
    assert(w.delete(record))
  end)
end

claim("an empty list stays a list and an empty object an object", function(w, other, h)
  local name = h.fresh_name()
  local array = setmetatable({}, { __jsontype = "array" })
  made(w, name, { list = array, object = {} })
  local status = assert(other.get(KIND, name)).status
  local marks = {}
  for _, field in ipairs { "list", "object" } do
    equal(nil, next(status[field]), field .. " is empty")
    local meta = getmetatable(status[field])
    marks[field] = meta and meta.__jsontype or "none"
  end
  equal("array", marks.list, "mark of the list")
  equal("none", marks.object, "mark of the object")
end)

claim("200 KB of text are kept byte for byte", function(w, other, h)
  local name = h.fresh_name()
  local text = ("0123456789 äöü\n"):rep(12000)
  made(w, name, { text = text })
  equal(true, assert(other.get(KIND, name)).status.text == text, "equal text")
end)

claim("what the caller does to a record afterwards changes nothing stored", function(w, other, h)
  local name = h.fresh_name()
  local status = { op = "a", list = { "x" } }
  local record = made(w, name, status)
  status.list[1] = "y"
  record.status.op = "z"
  record.spec.ttl = "2h"
  local now = assert(other.get(KIND, name))
  same({ op = "a", list = { "x" } }, now.status, "status")
  same({ ttl = "1h" }, now.spec, "spec")
end)

claim("age_ms starts near zero and is not set back by the queue's writes", function(w, other, h)
  local name = h.fresh_name()
  local aged = 40 + 2 * (h.grain_ms or 0)
  local record = made(w, name, { op = "a" })
  equal(true, record.age_ms < 5000, "young: " .. record.age_ms)
  local limit = w.now() + LIMIT_MS
  repeat
    assert(w.now() < limit, "age_ms stands still")
    assert(w.sleep(20))
    record = assert(other.get(KIND, name))
  until record.age_ms >= aged
  local queued = assert(other.replace(record, { op = "a", waiters = { { id = "b" } } }, { by = "queue" }))
  equal(true, queued.age_ms >= aged, "age after a write of the queue: " .. queued.age_ms)
  local held = assert(w.replace(queued, { op = "b" }))
  equal(true, held.age_ms < queued.age_ms, "age after a write of the holder: " .. held.age_ms)
end)

claim("a watch of one record hears the other's commit", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name)
  local inbox = w.inbox()
  assert(w.watch(inbox, KIND, name))
  local new = assert(other.replace(record, { op = "a" }))
  local event = await(w, inbox, "changed")
  equal(KIND, event.kind, "kind")
  equal(name, event.name, "name")
  local seen = event.record or assert(w.get(KIND, name))
  equal(new.rev, seen.rev, "rev")
  inbox:close()
end)

claim("a watch hears its own session's commit", function(w, _, h)
  local name = h.fresh_name()
  local record = made(w, name)
  local inbox = w.inbox()
  assert(w.watch(inbox, KIND, name))
  assert(w.replace(record, { op = "a" }))
  equal(name, await(w, inbox, "changed").name, "name")
  inbox:close()
end)

claim("a watch of a name hears its creation and its deletion", function(w, other, h)
  local name = h.fresh_name()
  local inbox = w.inbox()
  assert(w.watch(inbox, KIND, name))
  local record = made(other, name)
  await(w, inbox, "changed")
  assert(other.delete(record))
  await(w, inbox, "changed")
  refused("absent", w.get(KIND, name))
  inbox:close()
end)

claim("a watch of a kind hears every name of it", function(w, other, h)
  local first, second = h.fresh_name(), h.fresh_name()
  local inbox = w.inbox()
  assert(w.watch(inbox, KIND))
  made(other, first)
  made(other, second)
  local heard, limit = {}, w.now() + LIMIT_MS
  while not (heard[first] and heard[second]) do
    local event = assert(inbox:wait(limit), "a name was not heard of")
    equal(KIND, event.kind, "kind")
    heard[event.name] = true
  end
  inbox:close()
end)

claim("a closed watch is silent", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name)
  local closed, open = w.inbox(), w.inbox()
  local watch = assert(w.watch(closed, KIND, name))
  assert(w.watch(open, KIND, name))
  watch:close()
  assert(other.replace(record, { op = "a" }))
  await(w, open, "changed")
  local event, code = closed:wait(w.now() + 50)
  equal(nil, event, "event of a closed watch")
  equal("timeout", code, "code")
  open:close()
end)

claim("no event is lost between the answer to watch and the next commit", function(w, other, h)
  local name = h.fresh_name()
  local record = made(w, name)
  for i = 1, 50 do
    local inbox = w.inbox()
    assert(w.watch(inbox, KIND, name))
    record = assert(other.replace(record, { op = "n" .. i }))
    await(w, inbox, "changed")
    inbox:close()
  end
end)

claim("the end of a session is told to those who watch it, once it has ended", function(w, other, h)
  local inbox = w.inbox()
  assert(w.peer(inbox, other.session))
  local early, code = inbox:wait(w.now() + 30)
  equal(nil, early, "event while it lives")
  equal("timeout", code, "code")
  h.kill()
  equal(other.session, await(w, inbox, "gone").session, "session")
  local late = w.inbox()
  assert(w.peer(late, other.session))
  equal(other.session, await(w, late, "gone").session, "session, watched after its end")
  inbox:close()
  late:close()
end, "kill")

claim("nothing is said of a session that nobody has heard of", function(w)
  local inbox = w.inbox()
  assert(w.peer(inbox, ("0"):rep(32)))
  local event, code = inbox:wait(w.now() + 50)
  equal(nil, event, "event")
  equal("timeout", code, "code")
  inbox:close()
end)

return M
