--- konductor as it is but for one thing: a hold is renewed every millisecond, not every third of its ttl. So thousands
--- of renewals pass through the shipped code, on a real store, in a few seconds.
---
---   lua_tests bench/renewing.lua konductor run SCRIPT...
---
--- Environment: MARK_AT, two counts of renewals, "500 1500"; at each of them a file mark.N is written into the working
--- directory: what count_malloc.c has counted so far, the bytes that Lua holds, and the pages in memory.

local ttl = require "konductor.ttl"

local first, last = os.getenv "MARK_AT":match "^(%d+) (%d+)$"
local due = { [tonumber(first)] = "mark.1", [tonumber(last)] = "mark.2" }
local renewals = 0

local function read(path, how)
  local file = assert(io.open(path, "rb"))
  local content = file:read(how)
  file:close()
  return content
end

local function write_mark(name)
  collectgarbage()
  collectgarbage()
  local counted = read(os.getenv "KON_COUNT_FILE", 24)
  local file = assert(io.open(name, "wb"))
  file:write(counted, ("%d %s"):format(collectgarbage "count" * 1024, read("/proc/self/statm", "*l")))
  file:close()
end

-- Both marks fall on the same point of a renewal, so that their difference is exact.
ttl.renew_at = function(base)
  renewals = renewals + 1
  if due[renewals] then
    write_mark(due[renewals])
  end
  return base + 1
end

local argv = {}
for i = 1, #arg do
  argv[i - 1] = arg[i]
end
return require "konductor.cli.main".main(argv)
