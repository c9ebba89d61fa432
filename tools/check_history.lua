-- Checks event logs (konductor run --events FILE) against every promise: tools/check-history.
local k = require "konductor"
local history = require "konductor.history"

local opts, files = { capacity = {} }, {}
for _, word in ipairs(k.command) do
  local object, limit = word:match("^%-%-limit=(%u%w*/.+)=(%d+)$")
  if word == "--partial" or word == "--open" then
    opts[word:sub(3)] = true
  elseif object then
    opts.capacity[object] = tonumber(limit)
  elseif word:sub(1, 1) == "-" then
    error("unknown option " .. word, 0)
  else
    files[#files + 1] = word
  end
end

local events = {}
for _, path in ipairs(files) do
  local file = assert(io.open(path))
  local found, mistake = history.read(file:read("*a"), k.json.decode)
  file:close()
  if not found then
    error(path .. ": " .. mistake, 0)
  end
  for _, event in ipairs(found) do
    events[#events + 1] = event
  end
end

local result = history.check(events, opts)
for _, violation in ipairs(result.violations) do
  print(violation.rule .. ": " .. violation.text)
  for _, index in ipairs(violation.events) do
    print("    " .. k.json.encode(result.events[index]))
  end
end
local counts = result.counts
print(("%d events of %d sessions, %d runs on %d objects: %d violations"):format(counts.events, counts.sessions,
  counts.runs, counts.objects, #result.violations))
if #result.violations > 0 then
  error("the history breaks a promise", 0)
end
