--- Watches.

local lib = require "conformance.lib"
local equal, put, rev = lib.equal, lib.put, lib.rev
local ONCES = lib.ONCES

local claims, claim = lib.claims()

local LIMIT_MS = 20000

local function open(d, query)
  query.timeoutSeconds = query.timeoutSeconds or 60
  return d.api.watch { resource = ONCES, namespace = d.namespace, query = query }
end

-- The next so many events, as "TYPE name rev ...", without bookmarks.
local function hear(watch, count)
  local told = {}
  while #told < count do
    local event, why = watch.next(LIMIT_MS)
    if not event then
      error(("%s after %d of %d events: %s"):format(why, #told, count, table.concat(told, ", ")), 2)
    elseif event.type == "ERROR" then
      error("an error event: " .. tostring(event.object.message), 2)
    elseif event.type ~= "BOOKMARK" then
      told[#told + 1] = ("%s %s %d"):format(event.type, event.object.metadata.name, rev(event.object))
    end
  end
  return table.concat(told, ", ")
end

local function list_rev(d)
  return d:ask(200, "list", ONCES).metadata.resourceVersion
end

-- Writes that are told, and one that is not; what a watch must have heard of them.
local function happen(d)
  local made = d:once "a"
  local held = d:write(made, { op = "1" })
  d:write(held, { op = "1" })
  d:delete(ONCES, "a")
  local again = d:once "a"
  local between = rev(held) + 1
  return function(heard)
    local gone = tonumber(heard:match "DELETED a (%d+)")
    equal(true, gone and gone >= between and gone < rev(again), "the deletion has a version of its own: " .. heard)
    equal(("ADDED a %d, MODIFIED a %d, DELETED a %d, ADDED a %d"):format(rev(made), rev(held), gone, rev(again)), heard,
      "events")
  end
end

claim("a watch from a list's version tells every write after it, once, in order; equal PUTs are none", function(api)
  local d = lib.desk(api)
  local watch = open(d, { resourceVersion = list_rev(d) })
  local check = happen(d)
  check(hear(watch, 4))
  watch.close()
end)

claim("a watch that begins later is told the same", function(api)
  local d = lib.desk(api)
  local from = list_rev(d)
  local check = happen(d)
  for _ = 1, 2 do
    local watch = open(d, { resourceVersion = from })
    check(hear(watch, 4))
    watch.close()
  end
end)

claim("a watch goes on from the version of the last event that was heard", function(api)
  local d = lib.desk(api)
  local from = list_rev(d)
  local made = d:once "a"
  local held = d:write(made, { op = "1" })
  local watch = open(d, { resourceVersion = from })
  equal(("ADDED a %d"):format(rev(made)), hear(watch, 1), "first")
  watch.close()
  local after = open(d, { resourceVersion = tostring(rev(made)) })
  equal(("MODIFIED a %d"):format(rev(held)), hear(after, 1), "second")
  after.close()
end)

claim("a DELETED event shows the last state, with a version above it", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once "a", { op = "last" })
  local watch = open(d, { resourceVersion = tostring(rev(held)) })
  d:delete(ONCES, "a")
  local event = assert(watch.next(LIMIT_MS))
  equal("DELETED", event.type, "type")
  equal("last", event.object.status.op, "op")
  equal(held.metadata.uid, event.object.metadata.uid, "uid")
  equal(true, rev(event.object) > rev(held), "version")
  watch.close()
end)

claim("a watch without a version, or with 0, begins with all that is there", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  for _, from in ipairs { {}, { resourceVersion = "0" } } do
    local watch = open(d, from)
    equal(("ADDED a %d"):format(rev(made)), hear(watch, 1), "events")
    watch.close()
  end
end)

claim("a watch of one name hears nothing of another", function(api)
  local d = lib.desk(api)
  local watch = open(d, { resourceVersion = list_rev(d), fieldSelector = "metadata.name=b" })
  d:once "a"
  local made = d:once "b"
  d:delete(ONCES, "a")
  d:delete(ONCES, "b")
  local heard = hear(watch, 2)
  equal(("ADDED b %d, DELETED b"):format(rev(made)), heard:match "^(.*) %d+$", "events")
  watch.close()
end)

claim("what loses the label that is watched is told as DELETED, what gets it as ADDED", function(api)
  local d = lib.desk(api)
  local first = d:once("a", { labels = { k = "1" } })
  local watch = open(d, { resourceVersion = tostring(rev(first)), labelSelector = "k=1" })
  local second = d:ask(200, "update", ONCES, "a", put(first, { spec = first.spec }, { labels = { k = "2" } }))
  local third = d:ask(200, "update", ONCES, "a", put(second, { spec = first.spec }, { labels = { k = "1" } }))
  local left = assert(watch.next(LIMIT_MS))
  equal("DELETED", left.type, "type")
  equal(rev(second), rev(left.object), "version of the event")
  equal("1", left.object.metadata.labels.k, "label that it shows")
  equal(("ADDED a %d"):format(rev(third)), hear(watch, 1), "event after that")
  watch.close()
end)

claim("deletion with a finalizer is told as MODIFIED, and its end as DELETED", function(api)
  local d = lib.desk(api)
  local made = d:once("a", { finalizers = { "konductor.io/held" } })
  local watch = open(d, { resourceVersion = tostring(rev(made)) })
  local marked = d:delete(ONCES, "a")
  d:ask(200, "update", ONCES, "a", put(marked, { spec = marked.spec }))
  local heard = hear(watch, 2)
  equal(("MODIFIED a %d, DELETED a"):format(rev(marked)), heard:match "^(.*) %d+$", "events")
  watch.close()
end)

claim("two watches are told the same", function(api)
  local d = lib.desk(api)
  local from = list_rev(d)
  local one, two = open(d, { resourceVersion = from }), open(d, { resourceVersion = from })
  local check = happen(d)
  check(hear(one, 4))
  check(hear(two, 4))
  one.close()
  two.close()
end)

claim("a watch from a version that was forgotten tells one error 410 Expired and ends", function(api)
  local d = lib.desk(api)
  local idle = d:once "a"
  d:once "b"
  api.compact()
  local watch = open(d, { resourceVersion = tostring(rev(idle)), fieldSelector = "metadata.name=a" })
  local event = assert(watch.next(LIMIT_MS))
  equal("ERROR", event.type, "type")
  equal("Status", event.object.kind, "kind")
  equal(410, event.object.code, "code")
  equal("Expired", event.object.reason, "reason")
  local nothing, why = watch.next(LIMIT_MS)
  equal(nil, nothing, "second event")
  equal("ended", why, "end")
end)

claim("after all was forgotten the version of a list serves, though its objects be idle", function(api)
  local d = lib.desk(api)
  local idle = d:once "a"
  d:once "b"
  api.compact()
  local watch = open(d, { resourceVersion = list_rev(d), fieldSelector = "metadata.name=a" })
  local held = d:write(idle, { op = "1" })
  equal(("MODIFIED a %d"):format(rev(held)), hear(watch, 1), "events")
  watch.close()
end)

claim("a watch ends after timeoutSeconds, without an error", function(api)
  local d = lib.desk(api)
  local watch = open(d, { resourceVersion = list_rev(d), timeoutSeconds = 1 })
  local event, why = watch.next(LIMIT_MS)
  equal(nil, event, "event")
  equal("ended", why, "end")
end)

claim("bookmarks tell how far the server has come before a watch ends, to those who asked", function(api)
  local d = lib.desk(api)
  local from = list_rev(d)
  local function play(query)
    local bookmarks, last = 0, 0
    query.resourceVersion, query.timeoutSeconds, query.fieldSelector = from, 4, "metadata.name=a"
    local watch = open(d, query)
    local other = d:once(query.allowWatchBookmarks and "b" or "c")
    while true do
      local event, why = watch.next(LIMIT_MS)
      if not event then
        equal("ended", why, "end")
        return bookmarks, last, rev(other)
      end
      equal("BOOKMARK", event.type, "type")
      equal("Once", event.object.kind, "kind")
      bookmarks, last = bookmarks + 1, rev(event.object)
    end
  end
  local bookmarks, last, other = play { allowWatchBookmarks = true }
  equal(true, bookmarks >= 1, "bookmarks")
  equal(true, last >= other, "a bookmark knows of writes that were not told")
  equal(0, (play {}), "bookmarks that nobody asked for")
end)

return claims
