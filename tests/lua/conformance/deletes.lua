--- Delete: preconditions, answers, finalizers.

local lib = require "conformance.lib"
local equal, put, rev = lib.equal, lib.put, lib.rev
local ONCES, LEASES = lib.ONCES, lib.LEASES

local claims, claim = lib.claims()

local function options(preconditions)
  return {
    apiVersion = "v1", kind = "DeleteOptions", preconditions = preconditions, propagationPolicy = "Background",
  }
end

claim("delete answers 200 with a Status that names the uid; then it is not there", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local status = d:delete(ONCES, "a")
  equal("Status", status.kind, "kind")
  equal("Success", status.status, "status")
  equal(made.metadata.uid, status.details.uid, "uid")
  equal("a", status.details.name, "name")
  d:refused(404, "NotFound", "get", ONCES, "a")
  d:refused(404, "NotFound", "delete", ONCES, "a")
end)

claim("delete by another uid or a stale version says 409 Conflict and deletes nothing", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local new = d:write(made, { op = "x" })
  local uid, stale = new.metadata.uid, made.metadata.resourceVersion
  local status = d:refused(409, "Conflict", "delete", ONCES, "a", options { uid = uid, resourceVersion = stale })
  equal("a", status.details.name, "details.name")
  equal("Once", status.details.kind, "details.kind")
  d:refused(409, "Conflict", "delete", ONCES, "a",
    options { uid = "00000000-0000-4000-8000-000000000000", resourceVersion = new.metadata.resourceVersion })
  equal(rev(new), rev(d:get(ONCES, "a")), "version")
  d:ask(200, "delete", ONCES, "a", options { uid = uid, resourceVersion = new.metadata.resourceVersion })
  d:refused(404, "NotFound", "get", ONCES, "a")
end)

claim("delete by the uid of one that was deleted before says 409; with nothing there 404", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  d:delete(ONCES, "a")
  d:refused(404, "NotFound", "delete", ONCES, "a", options { uid = made.metadata.uid })
  d:once "a"
  d:refused(409, "Conflict", "delete", ONCES, "a", options { uid = made.metadata.uid })
end)

claim("preconditions hold for coordination Leases too", function(api)
  local d = lib.desk(api)
  local made = d:ask(201, "create", LEASES, nil, d:lease("a", { holderIdentity = "x" }))
  d:refused(409, "Conflict", "delete", LEASES, "a", options { resourceVersion = tostring(rev(made) - 1) })
  d:ask(200, "delete", LEASES, "a",
    options { uid = made.metadata.uid, resourceVersion = made.metadata.resourceVersion })
end)

claim("with a finalizer it stays, marked, until the last finalizer is taken away", function(api)
  local d = lib.desk(api)
  local made = d:once("a", { finalizers = { "konductor.io/held" } })
  local marked = d:delete(ONCES, "a")
  equal("Once", marked.kind, "kind of the answer")
  equal("string", type(marked.metadata.deletionTimestamp), "deletionTimestamp")
  equal(true, rev(marked) > rev(made), "version")
  equal(2, marked.metadata.generation, "generation")
  equal(rev(marked), rev(d:delete(ONCES, "a")), "version after a second delete")
  local held = d:write(marked, { op = "draining" })
  equal("draining", held.status.op, "op")
  equal(marked.metadata.deletionTimestamp, held.metadata.deletionTimestamp, "deletionTimestamp after a write")
  local answer = d:ask(200, "update", ONCES, "a", put(held, { spec = held.spec }))
  equal(nil, answer.metadata.finalizers, "finalizers")
  equal(rev(held), rev(answer), "version in the last answer")
  d:refused(404, "NotFound", "get", ONCES, "a")
end)

claim("while it is marked its name is taken", function(api)
  local d = lib.desk(api)
  d:once("a", { finalizers = { "konductor.io/held" } })
  d:delete(ONCES, "a")
  d:refused(409, "AlreadyExists", "create", ONCES, nil, lib.once "a")
end)

return claims
