--- Whose write was last, and when: metadata.managedFields, by the server's clock.

local lib = require "conformance.lib"
local equal, put, rev = lib.equal, lib.put, lib.rev
local ONCES = lib.ONCES

local claims, claim = lib.claims()

local function entry_of(object, manager)
  for _, entry in ipairs(object.metadata.managedFields or {}) do
    if entry.manager == manager then
      return entry
    end
  end
end

local function time_of(object, manager)
  local entry = entry_of(object, manager)
  return entry and entry.time
end

claim("the manager of a create owns its spec, the manager of a status that status", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once("a", nil, { fieldManager = "maker" }), { op = "1" }, "holder")
  equal(2, #held.metadata.managedFields, "managers")
  local holder, maker = entry_of(held, "holder"), entry_of(held, "maker")
  equal("status", holder.subresource, "subresource")
  equal("Update", holder.operation, "operation")
  equal(nil, maker.subresource, "subresource of a create")
  equal(held.metadata.creationTimestamp, maker.time, "time of a create")
end)

claim("a write of a holder moves its time, by the server's clock and to the second", function(api)
  local d = lib.desk(api)
  local first = d:write(d:once "a", { op = "1" })
  api.next_second()
  local answer = d:call("update_status", ONCES, "a", put(first, { status = { op = "2" } }), { fieldManager = "holder" })
  equal(true, time_of(answer.body, "holder") > time_of(first, "holder"), "later")
  equal(true, time_of(answer.body, "holder"):match "T%d%d:%d%d:%d%dZ$" ~= nil, "to the second")
end)

claim("a write by the queue leaves the holder's time alone", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once "a", { op = "1" }, "holder")
  api.next_second()
  local joined = d:write(held, { op = "1", waiters = { { id = "b" } } }, "queue")
  equal(time_of(held, "holder"), time_of(joined, "holder"), "holder's time")
  equal(true, time_of(joined, "queue") > time_of(held, "holder"), "queue's time")
end)

claim("a PUT of equal content leaves every time alone", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once "a", { op = "1" })
  api.next_second()
  equal(time_of(held, "holder"), time_of(d:write(held, { op = "1" }), "holder"), "time")
end)

claim("a write that only takes values away moves the version, but no time", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once "a", { op = "1", note = "s", deep = { a = 1, b = 2 } })
  api.next_second()
  local less = d:write(held, { op = "1", deep = { a = 1 } })
  equal(true, rev(less) > rev(held), "version")
  equal(time_of(held, "holder"), time_of(less, "holder"), "time")
end)

claim("who changes a value takes it from the one who had it, whose time stays", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once "a", { op = "1", note = "1" }, "holder")
  api.next_second()
  local other = d:write(held, { op = "1", note = "2" }, "other")
  equal(time_of(held, "holder"), time_of(other, "holder"), "holder's time")
  local taken = d:write(other, { op = "2", note = "2" }, "other")
  equal(nil, time_of(taken, "holder"), "a holder that owns nothing")
end)

claim("a manager whose values are gone is forgotten", function(api)
  local d = lib.desk(api)
  local joined = d:write(d:write(d:once "a", { op = "1" }, "holder"), { op = "1", waiters = { { id = "b" } } }, "queue")
  equal(true, time_of(joined, "queue") ~= nil, "queue")
  local left = d:write(joined, { op = "1" }, "holder")
  equal(nil, time_of(left, "queue"), "queue after its list has gone")
end)

claim("of more than ten managers the oldest become one, which has the newest of their times", function(api)
  local d = lib.desk(api)
  local object = d:once("a", nil, { fieldManager = "m00" })
  local status, last = {}, nil
  for i = 1, 12 do
    status["k" .. i] = i
    object = d:write(object, status, ("m%02d"):format(i))
    last = i == 3 and time_of(object, "m03") or last
    if i == 3 then
      api.next_second()
    end
  end
  equal(10, #object.metadata.managedFields, "managers")
  equal(last, time_of(object, "ancient-changes"), "time of the oldest")
  equal(nil, entry_of(object, "ancient-changes").subresource, "subresource of the oldest")
  equal(nil, time_of(object, "m03"), "m03")
  equal(true, time_of(object, "m04") > last, "m04")
end)

return claims
