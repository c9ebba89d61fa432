--- Lists.

local lib = require "conformance.lib"
local equal, rev = lib.equal, lib.rev
local ONCES, LEASES = lib.ONCES, lib.LEASES

local claims, claim = lib.claims()

local function names(list)
  local found = {}
  for i, object in ipairs(list.items) do
    found[i] = object.metadata.name
  end
  return table.concat(found, " ")
end

claim("a list is sorted by name, of one namespace, and has a version above all in it", function(api)
  local d = lib.desk(api)
  for _, name in ipairs { "b", "a.b", "a", "c-1" } do
    d:once(name)
  end
  local other = lib.desk(api)
  other:once "elsewhere"
  local list = d:ask(200, "list", ONCES)
  equal("OnceList", list.kind, "kind")
  equal("a a.b b c-1", names(list), "names")
  for _, object in ipairs(list.items) do
    equal(true, rev(list) >= rev(object), "version")
  end
end)

claim("the version of a list is that of the last write, of whatever resource", function(api)
  local d = lib.desk(api)
  d:once "a"
  local lease = d:ask(201, "create", LEASES, nil, d:lease("a", { holderIdentity = "x" }))
  equal(true, rev(d:ask(200, "list", ONCES)) >= rev(lease), "version")
end)

claim("a field selector finds one object or none, and still tells a version", function(api)
  local d = lib.desk(api)
  d:once "a"
  d:once "b"
  equal("b", names(d:ask(200, "list", ONCES, nil, nil, { fieldSelector = "metadata.name=b" })), "names")
  local none = d:ask(200, "list", ONCES, nil, nil, { fieldSelector = "metadata.name=c" })
  equal(0, #none.items, "items")
  equal(true, rev(none) > 0, "version")
  d:refused(400, "BadRequest", "list", ONCES, nil, nil, { fieldSelector = "status.op=1" })
end)

claim("a label selector finds those that have the label", function(api)
  local d = lib.desk(api)
  d:once("a", { labels = { ["konductor.io/kind"] = "Gate" } })
  d:once("b", { labels = { ["konductor.io/kind"] = "Door" } })
  d:once "c"
  equal("a", names(d:ask(200, "list", ONCES, nil, nil, { labelSelector = "konductor.io/kind=Gate" })), "names")
end)

claim("a list in pages is as it was at the version of its first page", function(api)
  local d = lib.desk(api)
  for _, name in ipairs { "a", "b", "c", "d", "e" } do
    d:once(name)
  end
  local first = d:ask(200, "list", ONCES, nil, nil, { limit = 2 })
  equal("a b", names(first), "first page")
  equal(3, first.metadata.remainingItemCount, "what remains")
  d:once "bb"
  d:delete(ONCES, "d")
  local second = d:ask(200, "list", ONCES, nil, nil, { limit = 2, continue = first.metadata.continue })
  equal("c d", names(second), "second page")
  local third = d:ask(200, "list", ONCES, nil, nil, { limit = 2, continue = second.metadata.continue })
  equal("e", names(third), "third page")
  equal("", third.metadata.continue or "", "continue of the last page")
  for _, page in ipairs { second, third } do
    equal(rev(first), rev(page), "version")
  end
end)

claim("a page whose list is too old says 410 Expired, and one that never was says 400", function(api)
  local d = lib.desk(api)
  for _, name in ipairs { "a", "b", "c" } do
    d:once(name)
  end
  local first = d:ask(200, "list", ONCES, nil, nil, { limit = 2 })
  d:once "d"
  api.compact()
  d:refused(410, "Expired", "list", ONCES, nil, nil, { limit = 2, continue = first.metadata.continue })
  d:refused(400, "BadRequest", "list", ONCES, nil, nil, { limit = 2, continue = "junk" })
end)

return claims
